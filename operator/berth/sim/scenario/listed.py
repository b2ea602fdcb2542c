"""Jobs that a scenario lists one by one, as a snapshot of a cluster does."""

from collections import Counter
from collections.abc import Mapping, Sequence

from berth.api.folding import unfold
from berth.core.affinity import Clause
from berth.core.model import Gang, Groups, JobKey, Policy, Toleration
from berth.sim.case import Costs, Fleet, Task
from berth.sim.scenario.fleets import amounts
from berth.sim.scenario.problems import Problem, ScenarioError
from berth.sim.scenario.reading import Document, field_name
from berth.sim.scenario.workload import ListedJob

_AT: tuple[int | str, ...] = ("workload", "jobs")


def tasks(
    jobs: Sequence[ListedJob], fleets: Sequence[Fleet], costs: Costs, assumed: int, found: Document
) -> tuple[Task, ...]:
    """Tasks of listed jobs, in order of submission. Raises ScenarioError with all that is wrong."""
    homes = {node.name: fleet for fleet in fleets for node in fleet.nodes}
    have = {node.name: node.allocatable.get(fleet.resource, 0) for fleet in fleets for node in fleet.nodes}
    problems: list[Problem] = []
    made: list[Task] = []
    places: dict[str, int] = {}
    held: Counter[str] = Counter()

    def tell(at: tuple[int | str, ...], field: str, text: str) -> None:
        path = (*at, *field.split("."))
        problems.append(Problem(found.file, found.line(path), field_name(path, found.value), text))

    for number, job in enumerate(jobs):
        at = (*_AT, number)
        if job.name in places:
            tell(
                at, "name", f"{job.name!r}: is job {places[job.name]} of the list already; give each a name of its own"
            )
        places[job.name] = number
        try:
            nodes = _nodes(job, homes)
            task = _task(job, nodes, costs, assumed, found, at)
        except ScenarioError as error:
            problems += error.problems
            continue
        except _Wrong as wrong:
            tell(at, wrong.field, wrong.text)
            continue
        for node in nodes:
            held[node] += job.devices
        over = next((node for node in nodes if held[node] > have[node]), None)
        if over is not None:
            text = f"{over}: jobs up to this one hold {held[over]} devices of it, and it has {have[over]} for jobs"
            tell(at, "placed.nodes", text)
        made.append(task)
    if problems:
        raise ScenarioError(problems)
    return tuple(sorted(made, key=lambda task: task.submit))


class _Wrong(Exception):  # noqa: N818  # a finding, made into a problem at once
    def __init__(self, field: str, text: str) -> None:
        self.field, self.text = field, text


def _nodes(job: ListedJob, homes: Mapping[str, Fleet]) -> tuple[str, ...]:
    """Where a job sits, by rank."""
    if job.placed is None:
        return ()
    try:
        nodes = tuple(unfold(job.placed.nodes))
    except ValueError as error:
        raise _Wrong("placed.nodes", str(error)) from error
    unknown = [node for node in nodes if node not in homes]
    if unknown:
        raise _Wrong("placed.nodes", f"{unknown[0]}: no pool of the scenario has this node")
    if len(nodes) != job.replicas:
        raise _Wrong("placed.nodes", f"names {len(nodes)} nodes; one for each of {job.replicas} replicas is needed")
    pools = sorted({homes[node].name for node in nodes})
    if len(pools) > 1:
        raise _Wrong("placed.nodes", f"lie in the pools {', '.join(pools)}; a gang sits in one")
    if job.placed.since > 0:
        raise _Wrong("placed.since", "must not be after the run's start; leave placed out for a job that comes later")
    return nodes


def _task(
    job: ListedJob,
    nodes: tuple[str, ...],
    costs: Costs,
    assumed: int,
    found: Document,
    at: tuple[int | str, ...],
) -> Task:
    namespace, _, name = job.name.partition("/")
    since = job.placed.since if job.placed is not None else 0
    if job.submit > since and nodes:
        raise _Wrong("submit", "is after it got its devices; correct one of the two")
    return Task(
        key=JobKey(namespace, name),
        submit=job.submit,
        gang=gang_of(job, found, at),
        work=job.work or _left(job, -since, assumed),
        declared=job.max_duration,
        tenant=namespace if job.tenant is None else job.tenant,
        priority=job.priority,
        costs=costs,
        held=nodes,
        since=since,
        spent=job.held,
        held_back=job.held_back or "",
    )


def gang_of(job: ListedJob, found: Document, at: tuple[int | str, ...]) -> Gang:
    """What a job asks for."""
    return Gang(
        replicas=job.replicas,
        devices=job.devices,
        pools=job.pools,
        level=job.level,
        policy=Policy(job.policy) if job.level else Policy.PREFERRED,
        requests=tuple(sorted(amounts(job.requests, found, (*at, "requests")).items())),
        selector=tuple(sorted(job.selector.items())),
        tolerations=tuple(Toleration(t.key, t.operator, t.value, t.effect) for t in job.tolerations),
        groups=Groups(job.groups.size, job.groups.level) if job.groups else None,
        affinity=tuple(
            tuple(Clause(c.key, c.operator, c.values, name=c.key == "metadata.name") for c in term)
            for term in job.affinity
        ),
    )


def _left(job: ListedJob, gone: int, assumed: int) -> int:
    """Seconds that a job is taken to hold its devices from its start on, or from now on."""
    if job.max_duration is not None:
        return max(1, job.max_duration - job.held - gone)
    quarter = max(60, assumed // 4)
    return assumed - gone if gone < assumed else quarter - (gone - assumed) % quarter
