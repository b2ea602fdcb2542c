"""A world in memory: an operator that may die at any moment, in its surroundings.

It plays what carries decisions out, by the same rules: a decision is counted as taken from the moment it is decided
until it has been carried out; its status is written first, guarded by the object's version, then its pods are deleted
and created, in any order; a crash may come between any two writes, and a create that was on the wire may still land
after it. What breaks a rule is kept in `faults`, by law.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from berth.core.admission import Pool
from berth.core.cycle import Snapshot
from berth.core.model import Cause, Gang, Job, JobKey, Phase, Placement, Pod
from berth.core.plan import Decision, Plan, Report, Verb
from berth.core.slots import Ledger
from berth.core.topology import Tree
from tests.properties import referee
from tests.properties.fleets import Fleet
from tests.properties.surroundings import JobObject, PodObject, Surroundings, count

Cycle = Callable[[Snapshot, int], Plan]

CHARGED = 90
"""Seconds after which a charge is final."""
Requests = tuple[tuple[str, int], ...]

ROUNDS = 400
"""Rounds after which a queue that has not drained never will: an attempt takes about eight."""


@dataclass
class Flight:
    """A decision that is being carried out, and what of it is still to be written after the status."""

    decision: Decision
    gang: Gang
    version: int
    status_written: bool = False
    deletes: list[tuple[str, str]] = field(default_factory=list)
    creates: list[int] = field(default_factory=list)


class World(Surroundings):
    """One heart in its surroundings."""

    def __init__(self, cycle: Cycle, fleet: Fleet) -> None:
        super().__init__(fleet)
        self.cycle = cycle
        self.flights: dict[JobKey, Flight] = {}
        self.told: dict[JobKey, Report] = {}
        self.faults: list[tuple[str, str]] = []

    # The operator

    def decide(self) -> Plan:
        """One cycle; its decisions begin to be carried out."""
        touched = None if self.touched is None else frozenset(self.touched)
        plan = self.cycle(
            Snapshot(self._views(), {self.fleet.name: self._pool(self._used())}, touched=touched), self.now
        )
        self.touched = set()
        if plan.wake_at is not None and plan.wake_at <= self.now:
            self._fault("waking", f"wake at {plan.wake_at}, now is {self.now}")
        self._judge_successes(plan)
        self._judge_losses(plan)
        self._judge_failures(plan)
        for decision in plan.decisions:
            if decision.verb is Verb.ADMIT:
                self._judge_admission(decision, self._used(without=decision.key))
            job = self.jobs[decision.key]
            if decision.verb is Verb.REPORT and decision.record == job.record:
                self.told[decision.key] = decision.report
                if not decision.delete:
                    continue
            self.flights[decision.key] = Flight(
                decision, job.spec.gang, job.version, deletes=list(decision.delete), creates=list(decision.create)
            )
        return plan

    def write(self, which: int, order: int) -> None:
        """One more write of one decision; nothing if none is under way."""
        if not self.flights:
            return
        key = sorted(self.flights)[which % len(self.flights)]
        flight, job = self.flights[key], self.jobs.get(key)
        if job is None or (not flight.status_written and job.version != flight.version):
            self._land(key)
        elif not flight.status_written:
            self._write_status(job, flight)
        elif flight.deletes:
            self._delete(job, *flight.deletes.pop(order % len(flight.deletes)))
        elif flight.creates:
            made = self._made(job, flight.creates.pop(order % len(flight.creates)))
            self._create(key, job.spec.uid, made)
            if order == 5:  # one that got no answer and was sent again; the first may land whenever it likes
                self.wire.append((key, job.spec.uid, replace(made, pod=replace(made.pod, uid=f"{made.pod.uid}-late"))))
        else:
            self._land(key)

    def write_all(self, order: int = 0) -> None:
        """Carry everything out."""
        while self.flights:
            self.write(order, order)

    def cycle_through(self, order: int) -> None:
        """One cycle, carried out to the end."""
        self.decide()
        self.write_all(order)

    def crash(self, leaves_on_wire: int) -> None:
        """The operator dies and starts again; some creates that it had sent may land later."""
        for key, flight in self.flights.items():
            if flight.status_written and key in self.jobs:
                for rank in flight.creates[: leaves_on_wire % 3]:
                    self.wire.append((key, self.jobs[key].spec.uid, self._made(self.jobs[key], rank)))
        for job in self.jobs.values():
            job.refused = None
        self.flights.clear()
        self.told.clear()
        self.touched = None

    def _write_status(self, job: JobObject, flight: Flight) -> None:
        decision = flight.decision
        if decision.verb is Verb.REMOVE:
            self.remove_job(decision.key)
            return
        if decision.record.attempt < job.record.attempt:
            self._fault("records", f"{decision.key}: attempt {job.record.attempt} becomes {decision.record.attempt}")
        if decision.record.failures > len(job.charged):
            self._fault("charging", f"{decision.key}: {decision.record.failures} failures, own are {job.charged}")
        outcome = decision.record.outcome
        if outcome is not None and not outcome.succeeded and decision.record.failures <= job.spec.backoff_limit:
            self._fault("charging", f"{decision.key} fails after {decision.record.failures}")
        job.record, job.version, flight.status_written = decision.record, job.version + 1, True
        if decision.verb is Verb.ADMIT:
            job.refused = None
        self.told[decision.key] = decision.report

    def _delete(self, job: JobObject, name: str, uid: str) -> None:
        known = self.pods.get(name)
        if known is None or known.pod.uid != uid:
            return
        placement = job.record.placement
        current = known.pod.attempt == job.record.attempt and placement is not None
        if placement is not None and known.pod.rank in placement.succeeded:
            current = False  # a late one: its rank is done
        if current and job.record.ending is None and job.record.outcome is None:
            self._fault("order", f"{name} is deleted before it is on record why")
        known.pod = replace(known.pod, deleting=True)
        self._touch(known.owner)

    def _made(self, job: JobObject, rank: int) -> PodObject:
        placement = job.record.placement
        assert placement is not None, "pods are only created for a placement on record"
        self._serial += 1
        attempt = job.record.attempt
        pod = Pod(
            name=f"{job.spec.key.name}-{attempt}-{rank}",
            uid=f"uid-{self._serial}",
            attempt=attempt,
            rank=rank,
            phase=Phase.PENDING,
        )
        devices = placement.devices[rank] if placement.devices else 0
        return PodObject(pod, job.spec.uid, job.spec.gang, placement.nodes[rank], devices)

    def _land(self, key: JobKey) -> None:
        del self.flights[key]
        if key in self.jobs:
            self._touch(self.jobs[key].spec.uid)

    # Letting it come to rest

    def settle(self, end: Phase | None) -> None:
        """Let nothing disturb it from now on, until nothing moves. `end`: how every pod ends; None: it runs on."""
        self.restore_nodes()
        for job in self.jobs.values():
            job.refused = None
            if job.spec.suspended:
                job.spec = replace(job.spec, suspended=False, generation=job.spec.generation + 1)
                job.version += 1
                self._touch(job.spec.uid)
        for _ in range(ROUNDS):
            plan = self.decide()
            moved = bool(self.flights)
            self.write_all()
            for name in sorted(self.pods):
                moved = self._progress(name, end) or moved
            self.check()
            if not moved:
                if plan.wake_at is None:
                    return
                self.now = max(self.now, plan.wake_at)
            self.now += 1
        self._fault("draining", f"still moving after {ROUNDS} rounds")

    # Judging

    def check(self) -> None:
        """What must hold after every step."""
        given: dict[str, dict[str, int]] = {node.name: {} for node in self.fleet.nodes}
        for taken in self._claims().values():
            for name, requests in taken.items():
                count(given[name], requests)
        for node in self.fleet.nodes:
            for resource, amount in given[node.name].items():
                if amount > node.allocatable.get(resource, 0):
                    self._fault("slots", f"{node.name}: {amount} {resource} given")
        self._held()
        for job in self.jobs.values():
            placement = job.record.holds
            if placement is not None and len(placement.nodes) != job.spec.gang.replicas:
                self._fault("gangs", f"{job.spec.key}: {len(placement.nodes)} of {job.spec.gang.replicas} replicas")
            for known in self._pods_of(job):
                attempt, rank = known.pod.attempt, known.pod.rank
                if attempt > job.record.attempt:
                    self._fault("order", f"{known.pod.name} is there before its attempt is on record")
                current = placement if attempt == job.record.attempt else None
                if current is not None and known.meant_for != current.nodes[rank]:
                    self._fault("order", f"{known.pod.name}: {known.meant_for}, on record {current.nodes[rank]}")

    def _judge_admission(self, decision: Decision, used: Mapping[str, Mapping[str, int]]) -> None:
        placement, job = decision.record.placement, self.jobs[decision.key]
        assert placement is not None, "an admission has a placement"
        gang, demand = job.spec.gang, job.spec.gang.demand(self.fleet.resource)
        if len(placement.nodes) != gang.replicas or decision.create != tuple(range(gang.replicas)):
            self._fault("gangs", f"{decision.key}: {len(placement.nodes)} of {gang.replicas} replicas admitted")
        widest = referee.widest_level(gang, self.fleet.levels)
        paths = [referee.path_of(self.nodes[name]) for name in placement.nodes]
        if widest is None or len({path[:widest] for path in paths}) != 1:
            self._fault("levels", f"{decision.key}: {gang.level} {gang.policy} over {paths}")
        for name in set(placement.nodes):
            if referee.slots(self.nodes[name], used.get(name, {}), demand) < placement.nodes.count(name):
                self._fault("slots", f"{decision.key}: no room for {placement.nodes.count(name)} on {name}")

    def has_succeeded(self, job: JobObject) -> bool:
        """Whether a job is on record as succeeded, or holds devices and all of its replicas have succeeded."""
        record = job.record
        if record.placement is None or record.outcome is not None:
            return record.outcome is not None and record.outcome.succeeded
        pods = [known.pod for known in self._pods_of(job) if known.pod.attempt == record.attempt]
        done = {pod.rank for pod in pods if pod.phase is Phase.SUCCEEDED}
        return len(done.union(record.placement.succeeded)) == len(record.placement.nodes)

    def _judge_successes(self, plan: Plan) -> None:
        decided = {decision.key: decision for decision in plan.decisions}
        for key, job in self.jobs.items():
            if job.record.holds and not job.record.ending and key not in self.flights and self.has_succeeded(job):
                outcome = decided[key].record.outcome if key in decided else None
                if outcome is None or not outcome.succeeded:
                    self._fault("success", f"{key}: all replicas have succeeded, and it has not")

    def _judge_losses(self, plan: Plan) -> None:
        """No attempt may end for the loss of a pod whose replica is on record as done."""
        for decision in plan.decisions:
            job, ending = self.jobs[decision.key], decision.record.ending
            placement = job.record.placement
            if placement is None or job.record.ending is not None or decision.key in self.flights:
                continue
            # Of an attempt that has succeeded nothing is kept but the outcome.
            last = decision.record.attempts[-1] if decision.record.attempts else None
            over = last.cause if last is not None and last.attempt == decision.closed else None
            if (ending.cause if ending is not None else over) != Cause.PODS_LOST:
                continue
            pods = {k.pod.rank: k.pod for k in self._pods_of(job) if k.pod.attempt == job.record.attempt}
            left = (pods.get(rank) for rank in range(len(placement.nodes)) if rank not in placement.succeeded)
            if all(pod is not None and not pod.deleting and pod.phase is not Phase.FAILED for pod in left):
                self._fault("success", f"{decision.key}: nothing is lost but pods of replicas that are done")

    def _judge_failures(self, plan: Plan) -> None:
        """No job may fail for good for a failure beside which one of its nodes was lost from sight."""
        for decision in plan.decisions:
            outcome = decision.record.outcome
            if outcome is None or outcome.succeeded or decision.verb is not Verb.FINISH:
                continue
            last = decision.record.attempts[-1]
            ill = [self.nodes[name] for name in last.nodes if name in self.nodes]
            lost = [n.name for n in ill if n.unready_since is not None and n.unready_since <= last.ended + CHARGED]
            if lost or self.now < last.ended + CHARGED:
                self._fault("charging", f"{decision.key} fails for good at {self.now} after {last}, lost {lost}")

    def _fault(self, law: str, text: str) -> None:
        self.faults.append((law, text))

    # What the operator sees

    def _placements(self) -> dict[tuple[str, int], tuple[Gang, tuple[str, ...]]]:
        """Gangs whose devices count, and their nodes, by job and attempt."""
        return {key: (gang, placement.nodes) for key, (gang, placement) in self._holding().items()}

    def _holding(self) -> dict[tuple[str, int], tuple[Gang, Placement]]:
        """Placements whose devices count, by job and attempt: on record, or just being written."""
        found = {}
        for key, job in self.jobs.items():
            flight = self.flights.get(key)
            if flight is not None and flight.decision.record.holds is not None:
                found[job.spec.uid, flight.decision.record.attempt] = (flight.gang, flight.decision.record.holds)
            if job.record.holds is not None:
                found[job.spec.uid, job.record.attempt] = (job.spec.gang, job.record.holds)
        return found

    def _held(self) -> dict[str, int]:
        """Mask of the devices taken on each node, where they are chosen by id.

        No two jobs may have one; of two placements of one job the later takes over from the earlier.
        """
        held = dict.fromkeys((node.name for node in self.fleet.nodes), 0)
        if self.fleet.layout is None:
            return held
        placements = self._holding()
        claims: dict[tuple[str, str], int] = {}
        for (uid, _), (gang, placement) in placements.items():
            own: dict[str, int] = {}
            for node, mask in zip(placement.nodes, placement.devices, strict=True):
                if own.get(node, 0) & mask or mask.bit_count() != gang.devices:
                    self._fault("devices", f"{uid} gets {mask:b} of {node} beside {own.get(node, 0):b}")
                own[node] = own.get(node, 0) | mask
                claims[uid, node] = claims.get((uid, node), 0) | mask
        for known in self.pods.values():
            if known.pod.node and not known.pod.ended and (known.owner, known.pod.attempt) not in placements:
                claims[known.pod.name, known.pod.node] = known.devices
        for (who, node), mask in claims.items():
            if mask & held[node]:
                self._fault("devices", f"{who} has {mask:b} of {node}, {held[node]:b} are taken")
            held[node] |= mask
        return held

    def _claims(self) -> dict[JobKey, dict[str, Requests]]:
        """What each job's placements take, by node; of two of one job, each node's larger part."""
        keys = {job.spec.uid: key for key, job in self.jobs.items()}
        found: dict[JobKey, dict[str, Requests]] = {}
        for (uid, _), (gang, nodes) in self._placements().items():
            claims = found.setdefault(keys[uid], {})
            for name, times in Counter(nodes).items():
                here = {resource: n * times for resource, n in gang.demand(self.fleet.resource).requests}
                claims[name] = tuple((Counter(dict(claims.get(name, ()))) | Counter(here)).items())
        return found

    def _used(self, without: JobKey | None = None) -> dict[str, dict[str, int]]:
        """What is taken on each node: by placements, and by pods that none of them covers."""
        used: dict[str, dict[str, int]] = {node.name: {} for node in self.fleet.nodes}
        placements = self._placements()
        for key, claims in self._claims().items():
            for name, requests in claims.items() if key != without else ():
                count(used[name], requests)
        for known in self.pods.values():
            if known.pod.node and not known.pod.ended and (known.owner, known.pod.attempt) not in placements:
                count(used[known.pod.node], known.gang.demand(self.fleet.resource).requests)
        return used

    def _pool(self, used: Mapping[str, Mapping[str, int]]) -> Pool:
        tree, ordered = Tree.build(self.fleet.name, self.fleet.levels, self.nodes.values())
        held, numbering = self._held(), self.fleet.numbering
        ledger = Ledger(
            tree,
            ordered,
            [used[node.name] for node in ordered],
            numbering=numbering,
            held=[held[node.name] for node in ordered] if numbering else None,
        )
        return Pool(self.fleet.name, self.fleet.resource, ledger)

    def _views(self) -> tuple[Job, ...]:
        views = []
        claims = self._claims()
        for key, job in self.jobs.items():
            flight = self.flights.get(key)
            record = flight.decision.record if flight else job.record
            views.append(
                replace(
                    job.spec,
                    record=record,
                    troubles=self.troubles(record),
                    claims=claims.get(key, {}),
                    pods=tuple(known.pod for known in self._pods_of(job)),
                    busy=flight is not None,
                    refused=job.refused,
                )
            )
        return tuple(views)
