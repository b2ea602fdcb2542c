"""Files that are generated, checked in, and never edited: how they are written and how drift is found.

They are checked in because users take them without running anything. `--check` fails on any difference from what is
generated now, down to the byte, and says what to do.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


def write(directory: Path, texts: Mapping[str, str]) -> None:
    """Write generated files; what else lies in the directory is left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")


def drift(directory: Path, texts: Mapping[str, str]) -> Iterator[str]:
    """Return the files of `directory` that differ from what is generated now, or are missing."""
    for name, text in texts.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield str(path)


def main(texts: Mapping[str, str], what: str, argv: Sequence[str] | None = None) -> int:
    """Write `texts` to the directory of the command line, or compare with `--check`; return the exit code."""
    parser = argparse.ArgumentParser(description=f"Generate {what} from the models.")
    parser.add_argument("directory", type=Path, help="where the files belong")
    parser.add_argument("--check", action="store_true", help="compare, write nothing; exit code 1 if they differ")
    options = parser.parse_args(argv)
    if not options.check:
        write(options.directory, texts)
        return 0
    differing = list(drift(options.directory, texts))
    for path in differing:
        sys.stderr.write(f"{path} is not what the models say: run `make generate` and commit the result\n")
    return 1 if differing else 0
