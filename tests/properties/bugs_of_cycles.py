"""Bugs of a cycle and of explanations: what is given is forgotten, order is left to chance, what is told is not so."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from berth.core import admission, changes, explain, lifecycle
from berth.core import cycle as cycles
from berth.core.admission import Berth, Pool, find, refusal
from berth.core.backfill import Line
from berth.core.cycle import Snapshot, cycle
from berth.core.faults import Waits
from berth.core.lifecycle import advance, due
from berth.core.model import Demand, Gang, Job, Phase, Pod, Policy
from berth.core.patience import wishes
from berth.core.picture import Reservation
from berth.core.placement import Fit
from berth.core.plan import Change, Decision, Pending, Plan, Reason, Verb
from berth.core.slots import Ledger, SlotIndex
from berth.core.stays import Backfill
from berth.core.waiting import refused
from tests.properties.bugs_of_places import half_a_gang, ranks_backwards, swapped, widest_level_first
from tests.properties.cycling import Cycle

# Cycle


def finding(find_: Callable[[Gang, dict[str, Pool]], Berth | None]) -> Cycle:
    """A cycle that looks for room in another way."""
    return partial(cycle, turns=partial(Line, find=find_))


def placing(place_: Callable[[SlotIndex, int, int], Fit | None]) -> Cycle:
    """A cycle that places in another way."""
    return finding(partial(find, rule=place_))


class _Untaken(Berth):
    def take(self) -> None:
        """Forget it."""


def _find_and_forget(gang: Gang, pools: dict[str, Pool]) -> Berth | None:
    berth = find(gang, pools)
    return berth and _Untaken(berth.pool, berth.demand, berth.fit)


def _find_the_first_devices(gang: Gang, pools: dict[str, Pool]) -> Berth | None:
    """Chooses devices as if the node were empty."""
    berth = find(gang, pools)
    if berth is None or not berth.devices:
        return berth
    return replace(berth, devices=((1 << gang.devices) - 1,) * gang.replicas)


def _find_at_any_level(gang: Gang, pools: dict[str, Pool]) -> Berth | None:
    return find(replace(gang, policy=Policy.PREFERRED), pools)


forgets_what_it_gave = finding(_find_and_forget)
gives_the_first_devices = finding(_find_the_first_devices)
ignores_the_level = finding(_find_at_any_level)
admits_half_gangs = placing(half_a_gang)
takes_the_widest_place = placing(widest_level_first)
shuffles_ranks = placing(ranks_backwards)


def _looking(**parts: object) -> Cycle:
    """A cycle that looks at jobs in another way."""
    return swapped(cycle, _advanced=swapped(cycles._advanced, **parts))


lowest_priority_first = swapped(cycle, precedence=lambda job: (job.priority, job.submitted, job.key, job.uid))
leaves_ties_to_chance = swapped(cycle, precedence=lambda job: (-job.priority, job.submitted))
observer_that_acts = swapped(cycle, _observed=lambda decision, _: decision)
passes_over_who_waits = _looking(_unchanged=lambda job, snapshot, *_: job.key not in (snapshot.touched or [job.key]))
forgets_the_history_of_who_waits = _looking(untried=lambda job: job.record.placement is None)
plans_on_the_snapshot = swapped(cycle, replace=lambda thing, **_: thing)


def _steps_with(**parts: object) -> Cycle:
    """A cycle whose step of one job has other parts."""
    return _looking(advance=swapped(advance, _advance=swapped(lifecycle._advance, **parts)))


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
blames_nobody = _seeing(lambda job: _pods_with(job, lambda pod: replace(pod, disrupted=pod.phase is Phase.FAILED)))
tries_once_more = _seeing(lambda job: replace(job, backoff_limit=job.backoff_limit + 1))
stops_what_has_succeeded = _seeing(
    lambda job: (
        _pods_with(job, lambda pod: replace(pod, phase=Phase.RUNNING if pod.phase is Phase.SUCCEEDED else pod.phase))
        if job.suspended
        else job
    )
)

forgets_who_is_done = _seeing(
    lambda job: (
        replace(job, record=replace(job.record, placement=replace(job.record.placement, succeeded=())))
        if job.record.placement
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
            told.append(replace(decision, report=explain.waiting(job, refused(job.gang, snapshot.pools))))
        else:
            told.append(decision)
    return replace(plan, decisions=tuple(told))


def _waiting(waits: Waits) -> Cycle:
    """A cycle that is as patient as that."""
    return lambda snapshot, now: cycle(replace(snapshot, waits=waits), now)


def _charging(snapshot: Snapshot, now: int) -> Plan:
    jobs = tuple(job if job.record.placement else replace(job, troubles=()) for job in snapshot.jobs)
    return cycle(replace(snapshot, jobs=jobs), now)


judges_at_once = _waiting(Waits(charge_window=0))
takes_no_charge_back = _charging


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

lets_pass_whoever_fits: Cycle = lambda snapshot, now: cycle(replace(snapshot, backfill=Backfill(depth=0)), now)  # noqa: E731


class _OnePlace(Line):
    def _reserve(self, job: Job) -> None:
        if not self.reservations:
            super()._reserve(job)


class _Hasty(Line):
    def start(self, job: Job) -> Berth | None:
        """Give the place that is only free later."""
        berth = super().start(job)
        kept = self.reservations
        return kept[-1].berth if berth is None and kept and kept[-1].key == job.key else berth


class _Stubborn(Line):
    def _near(self, job: Job, berth: Berth, seconds: int, at: int) -> Reservation | None:
        """Wait for a better place however far it is."""
        found = (
            self.future.earliest(job.key, wish, seconds, since=at) for wish, _ in wishes(job.gang, berth, seconds, 100)
        )
        return next(filter(None, found), None)


waits_for_ever_for_a_better_place: Cycle = partial(cycle, turns=_Stubborn)
keeps_only_one_place: Cycle = partial(cycle, turns=_OnePlace)
plans_with_what_is_free_later: Cycle = partial(cycle, turns=_Hasty)


# Explanations

Refuse = Callable[[Gang, dict[str, Pool]], Pending]


def _refusing(refusal_: Refuse) -> Refuse:
    """Explanations with another refusal, and the real proposals."""
    return swapped(refused, refusal=refusal_)


tells_the_most_hopeless_pool = _refusing(swapped(refusal, _HOPE=admission._HOPE[::-1]))
counts_one_too_many = _refusing(
    swapped(
        refusal,
        _refusal_in=swapped(
            admission._refusal_in,
            count=lambda number, noun: explain.count(number + 1, noun),
            _too_large=swapped(admission._too_large, _are=lambda _: "is no"),
        ),
    )
)


def tells_of_an_empty_pool(gang: Gang, pools: dict[str, Pool]) -> Pending:
    """Forgets what is taken."""
    emptied = {
        name: replace(pool, ledger=Ledger(pool.ledger.tree, pool.ledger.nodes.copy())) for name, pool in pools.items()
    }
    return replace(refused(gang, emptied), reason=refused(gang, pools).reason)


def _first_kind_only(ledger: Ledger, demand: Demand, *, whole: bool) -> str:
    return admission._kept_out(ledger, demand, whole=whole).split(";")[0].removesuffix(")") + ")"


tells_one_kind_of_barrier = _refusing(
    swapped(
        refusal,
        _refusal_in=swapped(
            admission._refusal_in,
            _kept_out=_first_kind_only,
            _too_large=swapped(admission._too_large, _kept_out=_first_kind_only),
        ),
    )
)


def _proposing(change: Callable[[Gang, dict[str, Pool], tuple[Change, ...]], tuple[Change, ...]]) -> Refuse:
    """A refusal whose proposals are spoilt."""
    return swapped(refused, nearest=lambda gang, pools, trial: change(gang, pools, changes.nearest(gang, pools, trial)))


def _untried(gang: Gang, _: dict[str, Pool], __: tuple[Change, ...]) -> tuple[Change, ...]:
    preferred = replace(gang, policy=Policy.PREFERRED)
    text = "topology.policy Preferred: could start now over 2 leaves"
    return (Change(text, preferred),) if gang.policy is Policy.REQUIRED else ()


def _largest_domain(gang: Gang, pools: dict[str, Pool], told: tuple[Change, ...]) -> tuple[Change, ...]:
    pool = admission.candidates(gang, pools)[0]
    index = pool.ledger.index(gang.demand(pool.resource))
    widest = index.tree.leaf_level if gang.level is None else 0
    there = explain.where(index.tree, widest, index.most(widest)[1])
    return tuple(
        replace(change, text=f"{change.text.split(' now ')[0]} now {there}")
        if change.text.startswith("replicas")
        else change
        for change in told
    )


proposes_what_it_did_not_try = _proposing(_untried)
names_the_domain_that_it_looked_at = _proposing(_largest_domain)
proposes_nothing = _proposing(lambda _, __, ___: ())
