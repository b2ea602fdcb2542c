"""From a scenario to its runs: one case for each load, slowdown, seed and policy, policies innermost.

Files are read once. What differs between two policies of one seed is the policy alone: jobs, arrivals, limits and
failures are drawn before it is looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from berth.core.stays import Backfill
from berth.sim.case import Case, Costs, Fleet, Outage, Slowdown, Task
from berth.sim.policies import POLICIES
from berth.sim.scenario import drawing, fleets, listed, tasks, traces
from berth.sim.scenario.checks import Checks, unknown_policy
from berth.sim.scenario.problems import Problem, ScenarioError
from berth.sim.scenario.reading import Document, checked, document, text_of
from berth.sim.scenario.schema import Scenario
from berth.sim.scenario.traces import Shape


@dataclass(frozen=True, slots=True)
class Setting:
    """What tells one run of a scenario from the others."""

    load: float | None
    slowdown: Slowdown
    seed: int
    policy: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a caller wants otherwise than the file has it; None: as in the file. `seeds`: how many."""

    policies: tuple[str, ...] | None = None
    loads: tuple[float, ...] | None = None
    seeds: int | None = None


NO_CHANGES = Changes()
_LAST = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A scenario with everything that it names read and checked. `rows`: shapes of its trace; `jobs`: listed ones."""

    name: str
    scenario: Scenario
    fleets: tuple[Fleet, ...]
    rows: tuple[Shape, ...]
    jobs: tuple[Task, ...]

    def settings(self) -> list[Setting]:
        """All runs, policies innermost."""
        wanted = self.scenario
        return [
            Setting(load, Slowdown(table), seed, policy)
            for load in wanted.load or (None,)
            for table in wanted.slowdown
            for seed in wanted.seeds
            for policy in wanted.policies
        ]

    def cases(self) -> Iterator[Case]:
        """All runs, each made when it is asked for."""
        return (self.case(setting) for setting in self.settings())

    def case(self, setting: Setting) -> Case:
        """One run."""
        wanted = self.scenario
        jobs = self._tasks(setting)
        name = self.name
        if len(wanted.slowdown) > 1:
            table = ", ".join(f"{level} {share:g}" for level, share in setting.slowdown.by_level.items())
            name += f" (slowdown {table or 'none'})"
        return Case(
            name=name,
            policy=setting.policy,
            queue=wanted.queue,
            fleets=self.fleets,
            tasks=jobs,
            outages=self._outages(jobs, setting.seed),
            slowdown=setting.slowdown,
            backfill=Backfill(wanted.backfill.depth, wanted.backfill.assumed, wanted.backfill.patience),
            every=wanted.every,
            warm_up=wanted.warm_up,
            until=wanted.until,
            seed=setting.seed,
            load=setting.load,
        )

    def _tasks(self, setting: Setting) -> tuple[Task, ...]:
        return self.jobs or _drawn(self, setting.load, setting.seed)

    def _outages(self, jobs: Sequence[Task], seed: int) -> tuple[Outage, ...]:
        wanted = self.scenario.failures
        homes = {node.name: fleet.name for fleet in self.fleets for node in fleet.nodes}
        found = [
            Outage(homes[one.node], one.node, one.start, one.end, drawing.TROUBLES[one.kind]) for one in wanted.listed
        ]
        if wanted.drawn is not None:
            longest = max(task.work for task in jobs)
            horizon = self.scenario.until or 2 * (max(0, jobs[-1].submit) + longest)
            found += drawing.outages(wanted.drawn, self.fleets, seed, horizon)
        return tuple(sorted(found, key=lambda one: (one.start, one.pool, one.node)))


@lru_cache(maxsize=2)
def _drawn(ready: Ready, load: float | None, seed: int) -> tuple[Task, ...]:
    """Jobs of a trace or a draw; the same object for all policies of a load and a seed."""
    wanted = ready.scenario
    room = tasks.Room.of(ready.fleets)
    draw = wanted.workload.draw
    if draw is None:
        shapes: Sequence[Shape] = ready.rows
        times: list[float] = [float(shape.submit) for shape in shapes]
    else:
        shapes = drawing.shapes(draw, ready.rows, seed)
        times = drawing.arrivals(len(shapes), seed)
    return tasks.made(
        wanted.workload,
        wanted.knowledge,
        costs_of(wanted),
        [Slowdown(table) for table in wanted.slowdown],
        shapes=shapes,
        submits=tasks.arriving(shapes, times, load, room.devices),
        each=room.each,
        seed=seed,
    )


def costs_of(scenario: Scenario) -> Costs:
    """What gangs pay."""
    costs = scenario.costs
    return Costs(costs.start, costs.interval, costs.save, costs.restore, costs.stop)


def load(path: Path, changes: Changes = NO_CHANGES) -> Ready:
    """Read a scenario and all that it names. Raises ScenarioError with all that is wrong."""
    return ready(document(str(path), text_of(path)), path.parent, path.stem, changes)


def ready(found: Document, base: Path, name: str, changes: Changes = NO_CHANGES) -> Ready:
    """The same for a scenario that was read already; files are looked for under `base`."""
    scenario = checked(Scenario, found)
    check = Checks(found)
    pools = check.of(lambda: fleets.fleets(scenario.cluster, found, base)) or ()
    rows: list[Shape] = check.of(lambda: _rows(scenario, found, base)) or []
    jobs: tuple[Task, ...] = ()
    if pools and scenario.workload.jobs is not None:
        costs, assumed = costs_of(scenario), scenario.backfill.assumed
        jobs = check.of(lambda: listed.tasks(scenario.workload.jobs or (), pools, costs, assumed, found)) or ()
    check.levels(scenario, pools)
    check.loads(scenario, given=scenario.load is not None or changes.loads is not None)
    check.policies(scenario.policies)
    check.counts(scenario, len(rows), len(jobs))
    check.nodes(scenario, pools)
    if pools:
        check.sizes(scenario, pools, rows, base)
    if check.problems:
        raise ScenarioError(
            sorted(check.problems, key=lambda one: (one.file != found.file, one.file, one.line or _LAST))
        )
    update: dict[str, object] = {}
    if changes.policies is not None:
        unknown = [f"--policy {p}: {unknown_policy(p)}" for p in changes.policies if p not in POLICIES]
        if unknown:
            raise ScenarioError([Problem(found.file, 0, "", text) for text in unknown])
        update["policies"] = tuple(dict.fromkeys(changes.policies))
    if changes.loads is not None:
        update["load"] = changes.loads
    if changes.seeds is not None:
        update["seeds"] = tuple(range(1, changes.seeds + 1))
    return Ready(scenario.name or name, scenario.model_copy(update=update), pools, tuple(rows), jobs)


def _rows(scenario: Scenario, found: Document, base: Path) -> list[Shape]:
    trace = scenario.workload.trace
    if trace is None:
        return []
    path = base / trace.file
    if not path.is_file():
        raise fleets.missing(found, ("workload", "trace", "file"), path)
    return traces.shapes(trace, path)
