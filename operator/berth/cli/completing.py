"""Completion: click's scripts for the shells, what kubectl asks of a plugin, and names that the cluster has.

Somebody waits with a finger on the Tab key, and his line must not be written over. So names are asked for with a short
patience, as metadata alone, and whatever goes wrong, there are no candidates.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import click
from click.shell_completion import ShellComplete, get_completion_class

_PATIENCE_S = 2.0

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


def jobs(given: dict[str, Any], incomplete: str) -> list[str]:
    """Names of jobs for an argument: of the namespace that was given, or of the one before a slash.

    `given` are the options and arguments of the command so far. Those that are there already are not offered again.
    """
    namespace, slash, _ = incomplete.partition("/")
    found = _names("trainingjobs", given, namespace=namespace if slash else None)
    told = given.get("jobs") or ()
    return [name for name in (f"{namespace}/{name}" if slash else name for name in found) if name not in told]


def pools(given: dict[str, Any], _incomplete: str) -> list[str]:
    """Names of pools."""
    told = given.get("pool")
    return [name for name in _names("acceleratorpools", given) if not isinstance(told, tuple) or name not in told]


def _names(plural: str, given: dict[str, Any], namespace: str | None = None) -> list[str]:
    from berth.cli.cluster import Target, connected
    from berth.kube.listing import list_all
    from berth.kube.resources import ACCELERATOR_POOLS, TRAINING_JOBS

    resource = {each.plural: each for each in (ACCELERATOR_POOLS, TRAINING_JOBS)}[plural]
    target = Target(given.get("kubeconfig"), given.get("context"), namespace or given.get("namespace"))

    async def listed() -> list[str]:
        async with asyncio.timeout(_PATIENCE_S), connected(target) as client:
            where = target.scope(client) if resource is TRAINING_JOBS else None
            found = await list_all(client, resource, project=_name, namespace=where, metadata_only=True)
            return sorted(found.items.values())

    try:
        return asyncio.run(listed())
    except Exception:  # noqa: BLE001  # a traceback in the middle of a line that is being typed helps nobody
        return []


def _name(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])
