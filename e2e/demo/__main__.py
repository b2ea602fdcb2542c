"""`python -m e2e.demo`: the demo's command.

Exit code 0: every gang was placed whole and ended well, and no law was broken; 1: not so, each case is told; 130:
interrupted, with a summary of what there was.
"""

import asyncio
import signal
import sys
import time
from types import FrameType

import click
from rich.console import Console

from berth.kube.errors import ApiError
from e2e.demo import summary, workload
from e2e.demo.show import Show, StalledError
from e2e.demo.stage import NAMESPACE, Fabric, Stage, stage
from e2e.ground.binaries import Binaries
from e2e.ground.gobuild import BuildError
from e2e.ground.model import ModelError
from e2e.ground.processes import ChildError

_INTERRUPTED = 130
_TOLD = 10
_FAILURES = (ApiError, BuildError, ChildError, ModelError, StalledError, TimeoutError, workload.TraceError)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--gangs",
    type=click.IntRange(1),
    default=319,
    show_default=True,
    help="Take so many gangs of the trace, evenly; 319 are all.",
)
@click.option(
    "--speed", type=click.FloatRange(0.05, 20), default=1.0, show_default=True, help="Play so many times as fast."
)
@click.option("--seed", default=1, show_default=True, help="Draws which gangs must stay inside one leaf or spine.")
@click.option("--plain", is_flag=True, help="A line every few seconds, no live view; so anyway without a terminal.")
@click.option("--keep", is_flag=True, help="Keep the cluster up at the end, until Ctrl-C.")
def main(gangs: int, speed: float, seed: int, plain: bool, keep: bool) -> None:
    """Berth on the network of one real cluster (847 hosts), with the training jobs of another, live."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_interrupt)
    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal  # lines of a log are not broken
    began = time.monotonic()

    def say(step: str) -> None:
        console.print(f"{time.monotonic() - began:5.1f} s  {step}", style="dim")

    try:
        fabric = Fabric.load()
        made = fabric.workload(speed=speed, gangs=gangs, seed=seed)
        with stage(fabric, say) as standing:
            say("ready")
            console.print(made.rule)
            code = _perform(Show(standing, made), console, live=console.is_terminal and not plain)
            if keep and code != _INTERRUPTED:
                _keep(console, standing)
        console.print(f"{time.monotonic() - began:5.1f} s  everything is stopped", style="dim")
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped")
        code = _INTERRUPTED
    except _FAILURES as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
        code = 1
    sys.exit(code)


def _perform(show: Show, console: Console, *, live: bool) -> int:
    """Run it and tell what came of it; the exit code."""
    failure = ""
    interrupted = False
    try:
        asyncio.run(show.run(console, live=live))
    except KeyboardInterrupt:
        interrupted = True
    except (ApiError, ChildError, StalledError) as error:
        failure = str(error)
    _tell(show, console, interrupted=interrupted)
    wrong = [*([failure] if failure else []), *show.board.wrong, *_unfinished(show, interrupted)]
    for sentence in wrong[:_TOLD]:
        console.print(f"wrong: {sentence}", style="red", markup=False)
    if len(wrong) > _TOLD:
        console.print(f"wrong: and {len(wrong) - _TOLD} more", style="red")
    return 1 if wrong else _INTERRUPTED if interrupted else 0


def _tell(show: Show, console: Console, *, interrupted: bool) -> None:
    board, total = show.board, len(show.workload.gangs)
    found = summary.summarize(board, seconds=max(show.seconds, 0.1), most_devices=show.most_devices)
    console.print()
    if interrupted:
        console.print("INTERRUPTED: what follows is only what there was until then", style="bold yellow")
    for line in summary.lines(found, total, board.fabric.devices):
        console.print(line, markup=False)
    verdict = "NOT all is well" if board.wrong else "no device given twice, no gang split"
    console.print(f"checked    {verdict}:", markup=False)
    ended = f"all pods of {len(show.looked_at)} gangs that have ended"
    console.print(f"           {board.events} changes of status, {board.samples} samples of the pods, {ended}")
    if board.missed:
        console.print(f"           {len(board.missed)} samples could not be taken: {board.missed[0]}", markup=False)


def _unfinished(show: Show, interrupted: bool) -> list[str]:
    """Gangs that did not end well, a sentence each; after an interruption nothing is held against those that run."""
    found = [f"{s.name} is Failed" for s in show.board.jobs.values() if s.state == "Failed"]
    if not interrupted and not show.done:
        left = len(show.workload.gangs) - show.board.count("finished")
        found.append(f"{left} of {len(show.workload.gangs)} gangs have not ended")
    return found


def _keep(console: Console, standing: Stage) -> None:
    """Leave everything up until Ctrl-C."""
    kubectl = Binaries().find("kubectl").path
    console.print(
        f"\nThe cluster stays up until Ctrl-C. In another terminal:\n\n"
        f"  export KUBECONFIG={standing.plane.kubeconfig}\n"
        f"  alias kubectl={kubectl}\n"
        f"  kubectl get trainingjobs -n {NAMESPACE} -o wide\n"
        f"  kubectl describe trainingjob kalos-000 -n {NAMESPACE}\n"
        f"  kubectl get acceleratorpools\n"
        f"  kubectl apply -f examples/ && kubectl get trainingjobs -A --watch\n",
        markup=False,
    )
    try:
        while True:
            standing.plane.check()
            standing.operator.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("stopping")


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
