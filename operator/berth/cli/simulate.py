"""`simulate FILE`: read a scenario, play its runs, print and write what came of them.

Files are written whole or not at all; where runs were interrupted, what is written says so.
"""

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from berth.cli import files
from berth.cli.cluster import CommandError
from berth.cli.progress import Ticker
from berth.cli.screen import Screen
from berth.cli.stopping import Stopper
from berth.sim import playing
from berth.sim.quality import Result
from berth.sim.report import lines, terminal
from berth.sim.scenario import cases
from berth.sim.scenario.cases import Changes, Ready, Setting
from berth.sim.scenario.problems import ScenarioError


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go besides the terminal; `form`: what is printed there."""

    form: str | None = None
    html: Path | None = None
    json: Path | None = None

    @property
    def brief(self) -> bool:
        """Whether only figures are asked for, and nothing of single jobs."""
        return self.html is None and self.json is None and self.form != "json"

    @classmethod
    def of(cls, form: str | None, html_: Path | None, json_: Path | None, out: Path | None) -> "Outputs":
        """Check that all can be written. Raises CommandError."""
        if out is not None:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(f"--out {out}: cannot be made a directory: {error.strerror}") from error
            html_, json_ = html_ or out / "report.html", json_ or out / "results.jsonl"
        return cls(
            form,
            files.writable(html_, "--html") if html_ else None,
            files.writable(json_, "--json") if json_ else None,
        )


def read(file: str, changes: Changes) -> Ready:
    """Read a scenario. Raises CommandError with all that is wrong."""
    try:
        return cases.load(Path(file), changes)
    except ScenarioError as error:
        raise CommandError(told(error)) from error


def told(error: ScenarioError) -> str:
    """All that is wrong, behind how much it is."""
    return str(error) if len(error.problems) == 1 else f"{len(error.problems)} problems\n{error}"


def played(ready: Ready, outputs: Outputs, *, processes: int, progress: bool | None) -> int:
    """Play a scenario's runs; the exit code. Raises CommandError."""
    settings = ready.settings()
    with Stopper() as stopper:
        ticker = Ticker([named(setting) for setting in settings], wanted=progress)
        results: list[Result] = []
        try:
            results.extend(
                playing.play(
                    ready, settings, processes=processes, watcher=ticker, stop=stopper.asked, brief=outputs.brief
                ),
            )
        except playing.RunError as error:
            raise CommandError(str(error)) from error
        finally:
            ticker.clear()
        shown(results, outputs)
    if stopper.asked():
        click.echo(interrupted(results, settings), err=True)
    return stopper.code


def named(setting: Setting) -> str:
    """A run in a few words: `berth, load 0.85, seed 3`."""
    load = "" if setting.load is None else f", load {setting.load:g}"
    slowdown = ", ".join(f"{level} {share:g}" for level, share in setting.slowdown.by_level.items())
    return f"{setting.policy}{load}{f', slowdown {slowdown}' if slowdown else ''}, seed {setting.seed}"


def interrupted(results: Sequence[Result], settings: Sequence[Setting]) -> str:
    """What is missing from results that were interrupted."""
    partial = sum(result.run.partial for result in results)
    missing = len(settings) - len(results)
    parts = [f"{partial} of {len(settings)} runs ended early"] if partial else []
    if missing:
        parts.append(f"{missing} did not begin")
    return f"interrupted: {' and '.join(parts) or 'all runs were done'}; what is shown is about the rest"


def shown(results: Sequence[Result], outputs: Outputs) -> None:
    """Print and write results."""
    with ExitStack() as stack:
        if outputs.html is not None:
            from berth.sim.report import html

            html.write(stack.enter_context(files.whole(outputs.html)), results)
        if outputs.json is not None:
            with stack.enter_context(files.whole(outputs.json)).open("w", encoding="utf-8") as stream:
                lines.write(stream, results)
    if outputs.form == "json":
        lines.write(sys.stdout, results)
    else:
        for line in _summary(results, outputs):
            click.echo(line, color=True)


def _summary(results: Sequence[Result], outputs: Outputs) -> Iterable[str]:
    screen = Screen.found()
    columns = None if outputs.form == "wide" else screen.columns
    yield from terminal.summary(results, columns=columns, colour=screen.colour)
    for path in (outputs.html, outputs.json):
        if path is not None:
            yield f"written: {path}"
