"""Options that commands share, and how a command ends.

Exit codes, for scripts: 0 done, 1 not found or failed, 2 wrong usage; with `--exit-code` also 3 the job waits, and 4 it
has failed for good. 130 after Ctrl-C, 143 after SIGTERM.
"""

import sys
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FAILED, WAITS, FAILED_FOR_GOOD, INTERRUPTED = 1, 3, 4, 130

_WAITING = ("Pending", "Requeued", "Suspended", "Unknown")


def of_state(state: str) -> int:
    """The exit code that tells a job's state."""
    if state == "Failed":
        return FAILED_FOR_GOOD
    return WAITS if state in _WAITING else 0


def cluster(command: F) -> F:
    """`--kubeconfig`, `--context`."""
    command = click.option("--context", help="Context of the kubeconfig.")(command)
    where = "Kubeconfig file. Absent: $KUBECONFIG, the pod's own account, ~/.kube/config."
    return click.option("--kubeconfig", help=where)(command)


def namespace(command: F) -> F:
    """`-n`."""
    text = "Namespace. Absent: the one of the context."
    return click.option("-n", "--namespace", help=text)(command)


def everywhere(command: F) -> F:
    """`-A`."""
    return click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces.")(command)


def output(*forms: str) -> Callable[[F], F]:
    """`-o`, with these forms besides the usual one."""
    return click.option("-o", "--output", type=click.Choice(forms), help="What to print instead of the usual table.")


def watch(command: F) -> F:
    """`-w`."""
    text = "Print again whenever something changes, until Ctrl-C."
    return click.option("-w", "--watch", is_flag=True, help=text)(command)


def completed(kind: Literal["jobs", "pools"]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Candidates for an argument or an option: names of what is in the cluster."""

    def candidates(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from berth.cli import completing

        found = {"jobs": completing.jobs, "pools": completing.pools}[kind](context.params, incomplete)
        return [name for name in found if name.startswith(incomplete)]

    return candidates


def run(work: Coroutine[Any, Any, int]) -> None:
    """Do the work of a command and end with its exit code; an error is told and ends with 1."""
    import asyncio

    finish(lambda: asyncio.run(work))


def finish(work: Callable[[], int]) -> None:
    """The same for work that waits for nothing."""
    from berth.cli.cluster import CommandError
    from berth.kube.config import ConfigError

    try:
        code = work()
    except (CommandError, ConfigError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code:
        sys.exit(code)
