"""Bugs of a simulator: devices given twice, work that is counted as it was not, a clock that leaves marks."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from berth.core.calendar import Calendar
from berth.core.cycle import Snapshot
from berth.core.model import JobKey, Placement
from berth.sim.case import Case, Slowdown
from berth.sim.courses import Attempt, Course
from berth.sim.engine import Engine, run
from berth.sim.progress import Progress
from berth.sim.record import Run, Spent
from berth.sim.world import Requests, World
from tests.properties.simulating import Simulation


def _in(world: type[World]) -> Simulation:
    """A run in another world."""

    class Other(Engine):
        pass

    Other.world = world
    return lambda case: Other(case).run(lambda *_: None, lambda: False)


def _going(course: type[Course]) -> Simulation:
    """A run in which tasks go another way."""

    class Other(Engine):
        pass

    Other.course = course
    return lambda case: Other(case).run(lambda *_: None, lambda: False)


class _TakesNothing(World):
    def _take(self, node: str, requests: Requests) -> None:
        super()._take(node, tuple((name, 0) for name, _ in requests))

    def _moved(self, job, holds):  # type: ignore[no-untyped-def]
        return super()._moved(replace(job, claims={}), holds)


class _HandsTooLittle(World):
    def _snapshot(self, keys: Iterable[JobKey]) -> Snapshot:
        return super()._snapshot(list(keys)[:2])


class _WithoutTheRest(World):
    def staying(self, now: int, but: Iterable[JobKey] = ()) -> Calendar:
        """Nobody is there."""
        super().staying(now, but)
        return Calendar()


class _WorksOn(Course):
    def halt(self, now: int) -> None:
        """A gang does not notice what happens to it."""


class _KeepsAll(Progress):
    def durable(self, elapsed: int) -> int:
        return min(self.work, max(0, elapsed - self.start - self.restore))


class _LosesNothing(Progress):
    def spent(self, elapsed: int, *, stopped: bool) -> Spent:
        spent = super().spent(elapsed, stopped=stopped)
        return replace(spent, useful=spent.useful + spent.lost, lost=0)


class _ForgetsToRestore(Progress):
    def spent(self, elapsed: int, *, stopped: bool) -> Spent:
        return replace(super().spent(elapsed, stopped=stopped), restoring=0)


def _progressing(kind: type[Progress]) -> Simulation:
    """A run in which attempts count otherwise."""

    class Other(Course):
        def begin(self, number: int, placement: Placement, now: int, slowdown: Slowdown) -> Attempt:
            begun = super().begin(number, placement, now, slowdown)
            was = begun.progress
            begun.progress = kind(was.work, was.costs, was.slow, was.restored, was.under_way)
            return begun

    return _going(Other)


_RUNS = count()


def runs_otherwise_each_time(case: Case) -> Run:
    return run(replace(case, every=case.every + next(_RUNS) % 2))


def forgets_who_waits(case: Case) -> Run:
    record = run(case)
    return replace(record, lives=tuple(life for life in record.lives if life.stints))


def ignores_required_levels(case: Case) -> Run:
    tasks = tuple(replace(task, gang=replace(task.gang, level=None)) for task in case.tasks)
    record = run(replace(case, tasks=tasks))
    lives = zip(record.lives, case.tasks, strict=True)
    return replace(record, lives=tuple(replace(life, task=task) for life, task in lives))


gives_devices_twice = _in(_TakesNothing)
hands_too_little_to_a_cycle = _in(_HandsTooLittle)
forgets_who_holds_devices = _in(_WithoutTheRest)
works_on_where_a_node_is_down = _going(_WorksOn)
saves_what_was_not_written = _progressing(_KeepsAll)
counts_lost_work = _progressing(_LosesNothing)
forgets_to_restore = _progressing(_ForgetsToRestore)
