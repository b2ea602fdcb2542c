"""Completion: click's scripts for the shells, and what kubectl asks of a plugin."""

from collections.abc import Iterator, Sequence

import click
from click.shell_completion import ShellComplete, get_completion_class

_NO_FILES = ":4"
"""The last line of an answer to kubectl: cobra's directive that no file names are to be offered."""
_FILES = ":0"


def script(root: click.Context, shell: str) -> str:
    """What a shell has to source to complete the program that runs."""
    found = get_completion_class(shell)
    assert found is not None, f"click completes {shell}"
    name = (root.info_name or "berth").rsplit("/", 1)[-1].replace(" ", "-")
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    return found(root.command, {}, name, variable).source()


def candidates(command: click.Command, words: Sequence[str]) -> Iterator[str]:
    """Candidates for the last of the words, each with its help after a tab, and cobra's directive."""
    *before, incomplete = words or [""]
    complete = ShellComplete(command, {}, "kubectl berth", "_KUBECTL_BERTH_COMPLETE")
    files = False
    for item in complete.get_completions(list(before), incomplete):
        if item.type == "plain":
            yield f"{item.value}\t{item.help}" if item.help else str(item.value)
        else:
            files = True
    yield _FILES if files or _wants_file(before) else _NO_FILES


def _wants_file(before: Sequence[str]) -> bool:
    return bool(before) and before[-1] in ("-f", "--filename", "--kubeconfig")
