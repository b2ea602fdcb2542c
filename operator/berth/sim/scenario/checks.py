"""What only the whole scenario can tell: names that lead nowhere, jobs that could never start."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from berth.sim.case import Fleet
from berth.sim.policies import POLICIES
from berth.sim.scenario import tasks
from berth.sim.scenario.problems import Problem, ScenarioError, nearest
from berth.sim.scenario.reading import Document, field_name
from berth.sim.scenario.schema import Scenario
from berth.sim.scenario.traces import Shape

T = TypeVar("T")


def unknown_policy(name: str) -> str:
    """That a policy is not known, and which are."""
    return f"there is no such policy{nearest(name, POLICIES) or ';'} there are {', '.join(POLICIES)}"


class Checks:
    """What only the whole scenario can tell. Problems are gathered, so that all are told at once."""

    def __init__(self, found: Document) -> None:
        self._found = found
        self.problems: list[Problem] = []

    def of(self, made: Callable[[], T]) -> T | None:
        """What is made, or None and its problems."""
        try:
            return made()
        except ScenarioError as error:
            self.problems += error.problems
            return None

    def tell(self, path: tuple[int | str, ...], text: str) -> None:
        """A problem at a place of the document."""
        found = self._found
        self.problems.append(Problem(found.file, found.line(path), field_name(path, found.value), text))

    def levels(self, scenario: Scenario, pools: Sequence[Fleet]) -> None:
        """Levels that are named exist in some pool."""
        known = list(dict.fromkeys(level for fleet in pools for level in fleet.levels))
        if not pools:
            return
        wanted = scenario.workload.level
        if wanted is not None and wanted not in known:
            self._level(("workload", "level"), wanted, known)
        for number, table in enumerate(scenario.slowdown):
            for level in table:
                if level not in known:
                    self._level(("slowdown", number, level), level, known)

    def _level(self, path: tuple[int | str, ...], level: str, known: Iterable[str]) -> None:
        self.tell(path, f"{level!r}: no pool has this level{nearest(level, known) or _there_are(known)}")

    def loads(self, scenario: Scenario, *, given: bool) -> None:
        """A load is given where one is needed, and only there."""
        work = scenario.workload
        if work.draw is not None and not given:
            self.tell(("workload", "draw"), "a drawn workload needs a load to know how fast jobs come; add load: 0.75")
        if work.jobs is not None and given:
            self.tell(("load",), "listed jobs come when they say; leave load out")
        if work.draw is not None and work.draw.jobs < 2:
            self.tell(("workload", "draw", "jobs"), f"{work.draw.jobs}: a load needs at least 2 jobs")

    def policies(self, names: Sequence[str]) -> None:
        """Policies exist, each once."""
        for number, name in enumerate(names):
            if name not in POLICIES:
                self.tell(("policies", number), f"{name!r}: {unknown_policy(name)}")
            elif name in names[:number]:
                self.tell(("policies", number), f"{name!r}: stands twice; keep one of the two")

    def counts(self, scenario: Scenario, rows: int, jobs: int) -> None:
        """Some jobs are left to count."""
        draw = scenario.workload.draw
        count = draw.jobs if draw is not None else rows + jobs
        if count and scenario.warm_up >= count:
            self.tell(("warmUp",), f"{scenario.warm_up}: must be less than the {count} jobs of the scenario")

    def nodes(self, scenario: Scenario, pools: Sequence[Fleet]) -> None:
        """Nodes that fail exist."""
        known = {node.name for fleet in pools for node in fleet.nodes}
        for number, one in enumerate(scenario.failures.listed if pools else ()):
            if one.node not in known:
                path = ("failures", "listed", number, "node")
                self.tell(path, f"{one.node!r}: no pool has this node{nearest(one.node, known)}")

    def sizes(self, scenario: Scenario, pools: Sequence[Fleet], rows: Sequence[Shape], base: Path) -> None:
        """Jobs that could never start would wait to the run's end."""
        room = tasks.Room.of(pools)
        trace = scenario.workload.trace
        most = f"the largest pool has {room.largest}"
        for row in rows:
            if row.devices > room.largest and trace is not None:
                remedy = f"leave such jobs out with workload.trace.filter.maxDevices: {room.largest}"
                text = f"{row.devices}: {most}; {remedy}"
                self.problems.append(Problem(str(base / trace.file), row.line, trace.columns.devices, text))
                return
            replicas, devices = tasks.split(row, room.each)
            if devices > room.each and trace is not None:
                text = f"{row.devices} devices in {replicas} replicas: a node has {room.each}"
                self.problems.append(Problem(str(base / trace.file), row.line, trace.columns.replicas or "", text))
                return
        sizes = (scenario.workload.draw.sizes or ()) if scenario.workload.draw is not None else ()
        for number, size in enumerate(sizes):
            if size.devices > room.largest:
                self.tell(("workload", "draw", "sizes", number, "devices"), f"{size.devices}: {most}")


def _there_are(known: Iterable[str]) -> str:
    names = ", ".join(known)
    return f"; there is {names}" if names else "; there is none"
