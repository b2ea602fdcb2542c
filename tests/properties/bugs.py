"""Bugs as they happen: an off-by-one, a forgotten copy, half a gang, the wrong level, an order left to chance.

Most are the heart's own code with one part exchanged (`swapped`), so that everything else is as it is.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from berth.core import admission, explain, lifecycle
from berth.core.admission import Berth, Pool, find, refusal
from berth.core.cycle import Snapshot, cycle
from berth.core.lifecycle import advance, due
from berth.core.model import Demand, Gang, Job, Node, Phase, Pod, Policy
from berth.core.placement import Fit, _fill, _tightest, place
from berth.core.plan import Decision, Pending, Plan, Reason, Verb
from berth.core.slots import Ledger, SlotIndex
from tests.properties.cycling import Cycle

P = ParamSpec("P")
R = TypeVar("R")


def swapped(function: Callable[P, R], **parts: object) -> Callable[P, R]:
    """The same function with other functions under some of the names that it uses."""
    assert isinstance(function, FunctionType), "only a plain function can be taken apart"
    unknown = parts.keys() - function.__globals__.keys()
    assert not unknown, f"{function.__name__} knows no {unknown}"
    made = FunctionType(function.__code__, {**function.__globals__, **parts}, function.__name__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


# Placement


def half_a_gang(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Places one replica too few."""
    return place(index, max(1, replicas - 1), widest)


def one_slot_too_many_on_a_node(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Puts all on the first node that it meets."""
    fit = place(index, replicas, widest)
    return fit and replace(fit, counts=((fit.counts[0][0], replicas),))


def more_room_than_needed_wanted(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Asks for more than `replicas` where as many would do."""
    return place(index, replicas, widest) if place(index, replicas + 1, widest) else None


def _anywhere(index: SlotIndex, level: int, domain: int, replicas: int) -> Fit:
    counts: list[tuple[int, int]] = []
    _fill(index, level, domain, replicas, counts)
    return Fit(level, domain, tuple(sorted(counts)))


def widest_level_first(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Goes through the levels from the wrong end."""
    for level in range(widest, index.tree.leaf_level + 1):
        least = index.smallest(level, replicas)
        if least is not None:
            return _anywhere(index, level, _tightest(index, level, least), replicas)
    return None


def worst_fit(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Takes the domain with the most room."""
    fit = place(index, replicas, widest)
    return fit and _anywhere(index, fit.level, index.most(fit.level)[1], replicas)


def first_of_equals(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Does not look at the surroundings."""
    fit = place(index, replicas, widest)
    if fit is None:
        return None
    _, domain = next(iter(index.ascending(fit.level, replicas)))
    return _anywhere(index, fit.level, domain, replicas)


def _refill(pick: Callable[[list[tuple[int, int]], int], int]) -> Callable[[SlotIndex, int, int], Fit | None]:
    """Placement that fills the children of a domain in the order that `pick` chooses."""

    def fill(index: SlotIndex, level: int, domain: int, replicas: int, counts: list[tuple[int, int]]) -> None:
        if level == index.tree.leaf_level:
            counts.append((domain, replicas))
            return
        free = index.free[level + 1]
        children = sorted((free[c], c) for c in index.tree.children(level, domain) if free[c])
        while replicas:
            slots, child = children.pop(pick(children, replicas))
            fill(index, level + 1, child, min(slots, replicas), counts)
            replicas -= min(slots, replicas)

    return swapped(place, _fill=fill)


def _last_of_equals(children: list[tuple[int, int]], replicas: int) -> int:
    return next((at for at, (free, _) in enumerate(children) if free >= replicas), len(children) - 1)


fullest_children_first = _refill(lambda _, __: 0)
always_the_emptiest_child = _refill(lambda children, _: len(children) - 1)
last_of_equal_children_first = _refill(_last_of_equals)


def ranks_backwards(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Forgets to sort."""
    fit = place(index, replicas, widest)
    return fit and replace(fit, counts=fit.counts[::-1])


def takes_while_looking(index: SlotIndex, replicas: int, widest: int) -> Fit | None:
    """Counts the devices as taken in the index that it was only to look at."""
    fit = place(index, replicas, widest)
    if fit is not None:
        position, taken = fit.counts[0]
        index._move(index.tree.leaf_level, position, index.free[-1][position] - taken)
    return fit


# Counting


class TakesWithoutLog(Ledger):
    """Forgets to note which node changed."""

    def take(self, position: int, demand: Demand, replicas: int) -> None:
        super().take(position, demand, replicas)
        self._log.pop()


class ForksShareIndexes(Ledger):
    """Forgets that the other side still reads the index."""

    def fork(self) -> Ledger:
        twin = super().fork()
        for index in self._indexes.values():
            index.shared = False
        return twin


class CompactsAndKeepsItsBase(Ledger):
    """Throws its log away and then brings the original's counts up to date by it."""

    __slots__ = ()

    def fork(self) -> Ledger:
        twin = super().fork()
        twin.__class__ = CompactsAndKeepsItsBase
        return twin

    def _compact(self) -> None:
        base = self._base
        super()._compact()
        self._base = base


class ReadsTheLogFromTheNextEntry(Ledger):
    """Is off by one in its own log."""

    def index(self, demand: Demand) -> SlotIndex:
        known = self._indexes.get(demand)
        if known is not None and known.seen < len(self._log):
            known.seen += 1
        return super().index(demand)


class ForksShareUsage(Ledger):
    """Copies the list of nodes, but not that of what is taken."""

    def fork(self) -> Ledger:
        twin = super().fork()
        twin.used = self.used
        return twin


class TakesOneTooMany(Ledger):
    """Does not ask whether there is room for the last replica."""

    def take(self, position: int, demand: Demand, replicas: int) -> None:
        if replicas > 1:
            super().take(position, demand, replicas - 1)
        taken = Counter(self.used[position])
        taken.update(dict(demand.requests))
        self.set_used(position, taken)


class CountsNoCordons(Ledger):
    """Takes cordoned nodes for open ones when it says why."""

    def barriers(self, demand: Demand, *, whole: bool = False) -> Any:
        twin = Ledger(self.tree, [replace(node, cordoned=False) for node in self.nodes], self.used)
        return twin.barriers(demand, whole=whole)


class CountsClosedNodes(SlotIndex):
    """Counts room on nodes that take nothing."""

    def __init__(self, tree: Any, demand: Demand, nodes: list[Node], used: list[Mapping[str, int]]) -> None:
        super().__init__(tree, demand, [replace(node, ready=True) for node in nodes], used)


class AsksForMore(SlotIndex):
    """Bisects on the wrong side."""

    def smallest(self, level: int, slots: int) -> int | None:
        return super().smallest(level, slots + 1)


class SkipsTheFirst(SlotIndex):
    """Begins one too late."""

    def ascending(self, level: int, slots: int) -> Any:
        found = iter(super().ascending(level, slots))
        next(found, None)
        return found


class LastOfTheMost(SlotIndex):
    """Takes the last of equal domains."""

    def most(self, level: int) -> tuple[int, int]:
        found = [(free, domain) for domain, free in enumerate(self.free[level])]
        return max(found, default=(0, 0))


class ForgetsToMove(SlotIndex):
    """Leaves its sorted lists as they were."""

    def ascending(self, level: int, slots: int) -> Any:
        order = self.order[level].copy()
        if order:
            insort(order, order.pop() + (1 << 32))
        return ((entry >> 32, entry & 0xFFFFFFFF) for entry in order if entry >> 32 >= slots)


# Cycle


def finding(find_: Callable[[Gang, dict[str, Pool]], Berth | None]) -> Cycle:
    """A cycle that looks for room in another way."""
    return swapped(cycle, find=find_)


def placing(place_: Callable[[SlotIndex, int, int], Fit | None]) -> Cycle:
    """A cycle that places in another way."""
    return finding(swapped(find, place=place_))


class _Untaken(Berth):
    def take(self) -> None:
        """Forget it."""


def _find_and_forget(gang: Gang, pools: dict[str, Pool]) -> Berth | None:
    berth = find(gang, pools)
    return berth and _Untaken(berth.pool, berth.demand, berth.fit)


def _find_at_any_level(gang: Gang, pools: dict[str, Pool]) -> Berth | None:
    return find(replace(gang, policy=Policy.PREFERRED), pools)


forgets_what_it_gave = finding(_find_and_forget)
ignores_the_level = finding(_find_at_any_level)
admits_half_gangs = placing(half_a_gang)
takes_the_widest_place = placing(widest_level_first)
shuffles_ranks = placing(ranks_backwards)
lowest_priority_first = swapped(cycle, precedence=lambda job: (job.priority, job.submitted, job.key, job.uid))
leaves_ties_to_chance = swapped(cycle, precedence=lambda job: (-job.priority, job.submitted))
observer_that_acts = swapped(cycle, _observed=lambda decision, _: decision)
passes_over_who_waits = swapped(
    cycle, _unchanged=lambda job, snapshot, *_: job.key not in (snapshot.touched or [job.key])
)
plans_on_the_snapshot = swapped(cycle, replace=lambda thing, **_: thing)


def _steps_with(**parts: object) -> Cycle:
    """A cycle whose step of one job has other parts."""
    return swapped(cycle, advance=swapped(advance, **parts))


def _unsorted(pods: tuple[Pod, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((pod.name, pod.uid) for pod in pods if not pod.ended and not pod.deleting)


deletes_in_any_order = _steps_with(_without_devices=swapped(lifecycle._without_devices, _to_delete=_unsorted))
leaves_strays = _steps_with(_without_strays=lambda _, step: step)
leaves_all_as_it_is_at_the_end = _steps_with(
    _after_the_end=lambda job, outcome, _: Decision(
        job.key, job.uid, Verb.REPORT, job.record, explain.finished(outcome)
    )
)


def _seeing(change: Callable[[Job], Job]) -> Cycle:
    """A cycle that sees jobs otherwise than they are."""

    def blind(snapshot: Snapshot, now: int) -> Plan:
        return cycle(replace(snapshot, jobs=tuple(change(job) for job in snapshot.jobs)), now)

    return blind


def _pods_with(job: Job, change: Callable[[Pod], Pod]) -> Job:
    return replace(job, pods=tuple(change(pod) for pod in job.pods))


reaches_into_busy_jobs = _seeing(lambda job: replace(job, busy=False))
blames_jobs_for_disruptions = _seeing(lambda job: _pods_with(job, lambda pod: replace(pod, disrupted=False)))
blames_jobs_for_deletions = _seeing(
    lambda job: _pods_with(job, lambda pod: replace(pod, deleting=pod.deleting and pod.phase is not Phase.FAILED))
)
stops_what_has_succeeded = _seeing(
    lambda job: (
        _pods_with(job, lambda pod: replace(pod, phase=Phase.RUNNING if pod.phase is Phase.SUCCEEDED else pod.phase))
        if job.suspended
        else job
    )
)


def _planning(change: Callable[[Snapshot, int, Plan], Plan]) -> Cycle:
    """A cycle whose plan is spoilt afterwards."""
    return lambda snapshot, now: change(snapshot, now, cycle(snapshot, now))


def _early(snapshot: Snapshot, now: int, plan: Plan) -> Plan:
    wakes = [wake for job in snapshot.jobs if (wake := due(job, now)) is not None]
    return replace(plan, wake_at=min(wakes, default=None))


def _from_the_beginning(snapshot: Snapshot, _: int, plan: Plan) -> Plan:
    jobs = {job.key: job for job in snapshot.jobs}
    told = []
    for decision in plan.decisions:
        pending = decision.report.pending
        if pending is not None and pending.reason in (Reason.INSUFFICIENT_DEVICES, Reason.TOPOLOGY_BLOCKED):
            job = jobs[decision.key]
            told.append(replace(decision, report=explain.waiting(job, refusal(job.gang, snapshot.pools))))
        else:
            told.append(decision)
    return replace(plan, decisions=tuple(told))


def _each(change: Callable[[Job, Decision], Decision]) -> Cycle:
    """A cycle whose decisions are spoilt afterwards, one by one."""

    def spoil(snapshot: Snapshot, _: int, plan: Plan) -> Plan:
        jobs = {job.key: job for job in snapshot.jobs}
        return replace(plan, decisions=tuple(change(jobs[decision.key], decision) for decision in plan.decisions))

    return _planning(spoil)


wakes_for_what_is_past = _planning(_early)
tells_of_slots_that_are_taken_by_now = _planning(_from_the_beginning)
never_wakes = _planning(lambda _, __, plan: replace(plan, wake_at=None))
deletes_before_it_is_on_record = _each(
    lambda job, decision: replace(decision, record=job.record) if decision.verb is Verb.STOP else decision
)
counts_attempts_anew = _each(
    lambda _, decision: (
        replace(decision, record=replace(decision.record, attempt=0)) if decision.verb is Verb.CLOSE else decision
    )
)


# Explanations

Refuse = Callable[[Gang, dict[str, Pool]], Pending]

tells_the_most_hopeless_pool = swapped(refusal, _HOPE=admission._HOPE[::-1])
counts_one_too_many = swapped(
    refusal,
    _refusal_in=swapped(admission._refusal_in, count=lambda number, noun: explain.count(number + 1, noun)),
)


def tells_of_an_empty_pool(gang: Gang, pools: dict[str, Pool]) -> Pending:
    """Forgets what is taken."""
    emptied = {
        name: replace(pool, ledger=Ledger(pool.ledger.tree, pool.ledger.nodes.copy())) for name, pool in pools.items()
    }
    return replace(refusal(gang, emptied), reason=refusal(gang, pools).reason)


def _first_kind_only(ledger: Ledger, demand: Demand, *, whole: bool) -> str:
    return admission._kept_out(ledger, demand, whole=whole).split(";")[0].removesuffix(")") + ")"


tells_one_kind_of_barrier = swapped(refusal, _refusal_in=swapped(admission._refusal_in, _kept_out=_first_kind_only))


def _proposing(change: Callable[[Gang, dict[str, Pool], tuple[str, ...]], tuple[str, ...]]) -> Refuse:
    """A refusal whose proposals are spoilt."""
    return swapped(refusal, nearest=lambda gang, pools: change(gang, pools, admission.nearest(gang, pools)))


def _untried(gang: Gang, _: dict[str, Pool], __: tuple[str, ...]) -> tuple[str, ...]:
    return ("topology.policy Preferred: could start now over 2 leaves",) if gang.policy is Policy.REQUIRED else ()


def _largest_domain(gang: Gang, pools: dict[str, Pool], told: tuple[str, ...]) -> tuple[str, ...]:
    pool = admission.candidates(gang, pools)[0]
    index = pool.ledger.index(gang.demand(pool.resource))
    widest = index.tree.leaf_level if gang.level is None else 0
    there = explain.where(index.tree, widest, index.most(widest)[1])
    return tuple(
        f"{change.split(' now ')[0]} now {there}" if change.startswith("replicas") else change for change in told
    )


proposes_what_it_did_not_try = _proposing(_untried)
names_the_domain_that_it_looked_at = _proposing(_largest_domain)
proposes_nothing = _proposing(lambda _, __, ___: ())
