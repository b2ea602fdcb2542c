"""What each command does between the cluster and the screen. Imported when a command runs, not before."""

import sys
import time
from typing import Any

import click

from berth.cli import explain, history, output, queue, top
from berth.cli.cluster import CommandError, Target, connected, listed, named
from berth.cli.options import WAITS, of_state
from berth.cli.screen import Screen
from berth.kube.client import ApiClient
from berth.kube.resources import ACCELERATOR_POOLS, TRAINING_JOBS

JsonObject = dict[str, Any]


def _now() -> int:
    return int(time.time())


def _print(lines: list[str]) -> None:
    if lines:
        click.echo("\n".join(lines), color=True)  # whether there are colours is the screen's business


def note(text: str) -> None:
    """Say something that is no part of the output."""
    click.echo(text, err=True)


async def show_queue(target: Target, form: str | None, pool: str | None, *, watch: bool) -> int:
    """`queue`."""
    screen = Screen.found()

    def show(jobs: list[JsonObject]) -> list[str]:
        found = queue.waiting(jobs, pool)
        return queue.rows(found, _now(), screen, wide=form == "wide", namespaces=target.everywhere)

    async with connected(target) as client:
        namespace = target.scope(client)
        jobs = await listed(client, TRAINING_JOBS, namespace)
        if watch:
            await _follow(client, TRAINING_JOBS, show, namespace=namespace)
    found = queue.waiting(jobs, pool)
    if form in ("json", "yaml", "name"):
        _print(output.objects(found, TRAINING_JOBS, form))
    elif found:
        _print(show(jobs))
    else:
        note(f"No job waits in {f'namespace {namespace}' if namespace else 'any namespace'}.")
    return 0


async def show_job(target: Target, job: str, form: str | None, *, watch: bool, past: bool, exit_code: bool) -> int:
    """`explain` and `history` (`past`)."""
    screen = Screen.found()

    def show(jobs: list[JsonObject]) -> list[str]:
        if not jobs:
            return [f"there is no TrainingJob {namespace}/{name}"]
        return history.told(jobs[0], _now(), screen) if past else explain.explained(jobs[0], _now(), screen)

    async with connected(target) as client:
        namespace, name = job_key(client, target, job)
        found = await named(client, TRAINING_JOBS, name, namespace)
        if watch:
            await _follow(client, TRAINING_JOBS, show, namespace=namespace, field_selector=f"metadata.name={name}")
    if form:
        _print(output.objects([found], TRAINING_JOBS, form, one=True))
    else:
        _print(show([found]))
    return of_state(explain.state_of(found)) if exit_code else 0


def job_key(client: ApiClient, target: Target, job: str) -> tuple[str, str]:
    """Namespace and name of a job that is given as NAME or NAMESPACE/NAME. Raises CommandError."""
    namespace, slash, name = job.rpartition("/")
    if not slash:
        return target.namespace or client.connection.namespace, name
    if not namespace or not name or "/" in namespace:
        raise CommandError(f"{job!r}: write the job as NAME or NAMESPACE/NAME")
    if target.namespace and target.namespace != namespace:
        raise CommandError(f"{job}: is not in the namespace {target.namespace!r} of -n; leave one of the two out")
    return namespace, name


async def show_pools(target: Target, form: str | None, *, watch: bool) -> int:
    """`top`."""
    screen = Screen.found()

    def show(pools: list[JsonObject]) -> list[str]:
        return top.rows(pools, screen, wide=form == "wide")

    async with connected(target) as client:
        pools = await listed(client, ACCELERATOR_POOLS, None)
        if watch:
            await _follow(client, ACCELERATOR_POOLS, show)
    if form in ("json", "yaml", "name"):
        _print(output.objects(pools, ACCELERATOR_POOLS, form))
    elif pools:
        _print(show(pools))
    else:
        note("There is no AcceleratorPool in this cluster; create one.")
    return 0


async def show_tree(target: Target, names: tuple[str, ...], form: str | None, *, nodes: bool) -> int:
    """`tree`."""
    from berth.cli.filling import filled
    from berth.cli.tree import drawn, grown

    async with connected(target) as client:
        found = await filled(client)
    trees = grown(found.mirror, names)
    known = [facts.name for facts in (member.facts for member in found.mirror.pools.members())]
    absent = sorted(set(names) - set(known))
    if absent:
        raise CommandError(f"there is no AcceleratorPool {', '.join(absent)}; there is {', '.join(known) or 'none'}")
    for text in found.notes:
        note(f"note: {text}")
    if form in ("json", "yaml"):
        wired = [tree.wire(nodes=nodes) for tree in trees]
        _print(output.document(wired, form))
    elif trees:
        _print(drawn(trees, Screen.found(), nodes=nodes, wide=form == "wide"))
    else:
        note("There is no AcceleratorPool in this cluster; create one.")
    return 0


async def show_plan(target: Target, file: str, form: str | None, *, exit_code: bool) -> int:
    """`plan`."""
    from berth.cli import plan

    stdin = sys.stdin.read() if file == "-" else None
    jobs = plan.read(file, plan.text_of(file, stdin), target.namespace)
    async with connected(target) as client:
        found, notes = await plan.planned(client, jobs, _now())
    for text in notes:
        note(f"note: {text}")
    if form:
        _print(output.objects([one.job for one in found], TRAINING_JOBS, form, one=len(found) == 1))
    else:
        screen = Screen.found()
        blocks = [plan.lines(one, _now(), screen) for one in found]
        _print([line for i, block in enumerate(blocks) for line in ([""] if i else []) + block])
        note(f"note: {plan.AS_WRITTEN}")
    return WAITS if exit_code and not all(one.starts or one.holds for one in found) else 0


async def let_go(target: Target, jobs: tuple[str, ...], lease: tuple[str, str], *, dry_run: bool, force: bool) -> int:
    """`release`."""
    from berth.cli.release import Operators, must_be_gone, released

    async with connected(target) as client:
        if not dry_run and not force:
            await must_be_gone(client, Operators(*lease))
        async for line in released(client, target.scope(client), jobs, dry_run=dry_run):
            _print([line])
    return 0


async def _follow(client: ApiClient, *args: Any, **selection: Any) -> None:
    from berth.cli.watch import follow

    await follow(client, *args, **selection, terminal=sys.stdout.isatty())
