"""Backfill: a gang may pass those that wait before it only where it delays none of them.

A gang that cannot start gets a reservation: the earliest time at which it finds room, as running gangs end, and its
place there. Whoever comes after it in the queue may start now where it ends before that, or sits elsewhere, or where
another place can be kept without anybody starting later. The rule is conservative backfill, as Slurm's `sched/backfill`
plans with time limits. Nothing is remembered from cycle to cycle: the same facts give the same reservations.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from berth.core import batch
from berth.core.admission import Berth, Find, Pool, Stay, candidates, find, unsuitable
from berth.core.calendar import Calendar
from berth.core.future import FOREVER, Future, takes
from berth.core.model import Gang, Job, JobKey, Record
from berth.core.patience import wishes
from berth.core.picture import Reservation
from berth.core.stays import Backfill, lasts, stays

_TRIALS = 8
"""How often in a cycle places that are kept may be changed for others. Who comes too late for that waits for the next
cycle."""

_PATIENT = 8
"""For how many gangs of a cycle a better place is kept than they could have earlier; others take what there is."""


class Turn(Protocol):
    """The queue's turn in one cycle, as the cycle asks for it: jobs come in their order, each once."""

    def start(self, job: Job) -> Berth | None:
        """Find a place in which a job may start now, and take it; None if it has to wait."""

    def together(self, started: Sequence[tuple[Job, Berth]]) -> list[Berth]:
        """Nobody waits: the places of all who start, which may be better ones now that all of them are known."""

    def settle(self) -> None:
        """The queue has had its turn."""


class Turns(Protocol):
    """Makes the turn of a cycle, whose own forks `pools` are.

    `decided`: records that jobs will have after it. `staying`: gangs that hold devices and are not among `jobs`.
    """

    def __call__(
        self,
        pools: dict[str, Pool],
        jobs: Iterable[Job],
        decided: Mapping[JobKey, Record],
        settings: Backfill,
        now: int,
        *,
        staying: Calendar | None = None,
    ) -> Turn:
        """A turn in which nobody has been asked for yet."""


class Line:
    """The queue's turn in one cycle: who starts now, and what is kept for those who cannot.

    `pools` are the cycle's own forks: a berth that is found is there, and not taken yet. `staying`: gangs that hold
    devices and are not among `jobs`. `find`: the rule by which a gang's place is chosen, now and ahead. `batched`:
    those who start in one cycle may be placed together.
    """

    def __init__(
        self,
        pools: dict[str, Pool],
        jobs: Iterable[Job],
        decided: Mapping[JobKey, Record],
        settings: Backfill,
        now: int,
        *,
        staying: Calendar | None = None,
        find: Find = find,
        batched: bool = True,
    ) -> None:
        self.pools = pools
        self._batched = batched
        self._staying = staying
        self._find = find
        self._jobs = jobs
        self._decided = decided
        self.settings = settings
        self.now = now
        self._future: Future | None = None
        self._unplaced: list[Job] = []
        self._seats: Counter[str] = Counter()
        self._full = (
            set(pools) if settings.depth <= 0 else set[str]()
        )  # pools in which as many places are kept as may be
        self._trials = 0
        self._passed = False
        self._started: list[Stay] = []
        self._refused: dict[Gang, int] = {}  # for how many seconds or more; 0 where there is no room
        self._apart: dict[JobKey, Berth] = {}
        self._waiting = 0

    @property
    def reservations(self) -> list[Reservation]:
        """Places that are kept, in the order of the queue. They are looked for when somebody asks, and not before."""
        if self._unplaced:
            unplaced, self._unplaced = self._unplaced, []
            for job in unplaced:
                if len(self._full) == len(self.pools):
                    break
                self._reserve(job)
        return self._future.reservations if self._future else []

    @property
    def future(self) -> Future:
        """What will be taken when."""
        if self._future is None:
            here = [*stays(self._jobs, self.pools, self.now, self.settings, self._decided), *self._started]
            if self._staying is None:
                calendar = Calendar(here)
            else:
                calendar = self._staying.fork()
                for stay in here:
                    calendar.add(stay)
            self._future = Future(self.pools, calendar, self.now, find=self._find)
        return self._future

    def start(self, job: Job) -> Berth | None:
        """Find a place in which a job may start now, and take it; None if it has to wait, with a place kept for it."""
        refused = self._refused.get(job.gang, FOREVER)
        if refused and (seconds := lasts(job, self.settings)) < refused:
            berth = self._find(job.gang, self.pools)
            if berth is None:
                self._refused[job.gang] = 0
            else:
                free = self._beside(job.gang, berth, seconds)
                near = self._near(job, free or berth, seconds, self.now)
                if near is None:
                    berth = free or self._rearranging(job, berth, seconds)
                    if berth is not None:
                        self._take(job, berth, seconds)
                        return berth
                if free is None:
                    self._refused[job.gang] = seconds
                if near is not None:
                    self.future.reservations.append(near)
                    if free is not None:
                        self._apart[job.key] = free
                    return None
        self._unplaced.append(job)
        return None

    def together(self, started: Sequence[tuple[Job, Berth]]) -> list[Berth]:
        """Nobody waits, so nothing is kept for anybody: the places of all who start, each as good or better."""
        if not self._batched:
            return [berth for _, berth in started]
        return batch.together([(job.gang, berth) for job, berth in started], self.pools, self._find)

    def settle(self) -> None:
        """The queue has had its turn: what is kept is found anew, beside those who have passed."""
        if self._passed:
            self.future.reservations = self.future.rearranged() or self.future.reservations

    def could(self, job: Job, gang: Gang, seconds: int) -> Berth | None:
        """Try whether a job could start now as this gang, for so many seconds. Its own reservation does not count."""
        berth = self._find(gang, self.pools)
        if berth is None:
            return None
        kept = self.reservations
        try:
            if kept:
                self.future.reservations = [r for r in kept if r.key != job.key]
                berth = self.future.place(gang, self.now, self.now + seconds)
            if berth is None or job.max_duration is None:
                return berth
            # Would it wait for a better place? Those that wait behind it would not be in its way there.
            wishes_ = list(wishes(gang, berth, seconds, self.settings.patience))
            if wishes_:
                self.future.reservations = []
            near = (self.future.earliest(job.key, wish, seconds, self.now + most) for wish, most in wishes_)
            return berth if all(found is None for found in near) else None
        finally:
            if self._future is not None:
                self._future.reservations = kept

    def seconds(self, job: Job) -> int:
        """For how long a job would hold its devices."""
        return lasts(job, self.settings)

    def held_back(self, job: Job) -> bool:
        """Whether there is room for a job that waits, but kept for others."""
        if self.seconds(job) < self._refused.get(job.gang, FOREVER):
            return False
        return self._find(job.gang, self.pools) is not None  # or somebody has taken it since

    def apart(self, job: Job) -> Berth | None:
        """Where a job could start now that waits for a better place; None if it does not."""
        return self._apart.get(job.key)

    def _beside(self, gang: Gang, berth: Berth, seconds: int) -> Berth | None:
        """A place in which a gang is in the way of nobody before it, `berth` if nobody is; None if there is none."""
        if not self.reservations:
            return berth
        free = self.future.place(gang, self.now, self.now + seconds)
        return free and Berth.at(self.pools[free.pool.name], free.demand, free.fit)

    def _rearranging(self, job: Job, berth: Berth, seconds: int) -> Berth | None:
        """That berth, if what is kept for those before can be found elsewhere as early, and is so kept; else None."""
        if self._trials >= _TRIALS:
            return None
        self._trials += 1
        stay = self._stay(job, berth, seconds)
        self.future.start(stay)
        kept = self.future.rearranged(stay)
        self.future.withdraw(stay)
        if kept is None:
            return None
        self.future.reservations = kept
        return berth

    def _near(self, job: Job, berth: Berth, seconds: int, at: int) -> Reservation | None:
        """A better place than the one that a job finds at a time, near enough to wait for; None if there is none."""
        if job.max_duration is None or self._waiting >= _PATIENT:
            return None
        for wish, most in wishes(job.gang, berth, seconds, self.settings.patience):
            found = self.future.earliest(job.key, wish, seconds, at + most, since=at)
            if found is not None and not found.guessed:
                self._waiting += 1
                return found
        return None

    def _take(self, job: Job, berth: Berth, seconds: int) -> None:
        stay = self._stay(job, berth, seconds)
        berth.take()
        self._passed = bool(self.reservations)
        if self._future is None:
            self._started.append(stay)
        else:
            self._future.start(stay)

    def _stay(self, job: Job, berth: Berth, seconds: int) -> Stay:
        return Stay(self.now + seconds, job.key, berth.pool.name, takes(berth), job.max_duration is None)

    def _reserve(self, job: Job) -> None:
        """Keep a place for a job that waits, if it is one of the first of a pool that it may run in."""
        suitable = [pool.name for pool in candidates(job.gang, self.pools) if unsuitable(job.gang, pool) is None]
        if self._full.issuperset(suitable):
            return
        seconds = lasts(job, self.settings)
        found = self.future.earliest(job.key, job.gang, seconds)
        if found is not None:
            self.future.reservations.append(self._near(job, found.berth, seconds, found.start) or found)
            name = found.berth.pool.name
            self._seats[name] += 1
            if self._seats[name] >= self.settings.depth:
                self._full.add(name)
