"""A world in memory: an API server that keeps objects, a kubelet, users, nodes, and an operator that may die.

It plays what stands around the heart, by the same rules: a decision is counted as taken from the moment it is decided
until it has been carried out; its status is written first, guarded by the object's version, then its pods are deleted
and created, in any order; a crash may come between any two writes, and a create that was on the wire may still land
after it. What breaks a rule is kept in `faults`, by law.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from berth.core.admission import Pool
from berth.core.cycle import Snapshot
from berth.core.model import Gang, Job, JobKey, Node, Phase, Pod, Record
from berth.core.plan import Decision, Plan, Report, Verb
from berth.core.slots import Ledger
from berth.core.topology import Tree
from tests.properties import referee
from tests.properties.fleets import Fleet

Cycle = Callable[[Snapshot, int], Plan]

POOL_ROUNDS = 400
"""Rounds after which a queue that has not drained never will: an attempt takes about eight."""


@dataclass
class JobObject:
    """A TrainingJob as the API server keeps it, and `charged`: its attempts that failed by their own fault."""

    spec: Job
    record: Record = field(default_factory=Record)
    version: int = 0
    charged: set[int] = field(default_factory=set)
    refused: str | None = None


@dataclass
class PodObject:
    """A Pod as the API server keeps it."""

    pod: Pod
    owner: str
    gang: Gang


@dataclass
class Flight:
    """A decision that is being carried out, and what of it is still to be written after the status."""

    decision: Decision
    version: int
    status_written: bool = False
    deletes: list[tuple[str, str]] = field(default_factory=list)
    creates: list[int] = field(default_factory=list)


class World:
    """Everything around one heart. Each public method is something that happens."""

    def __init__(self, cycle: Cycle, fleet: Fleet) -> None:
        self.cycle = cycle
        self.fleet = fleet
        self.now = 1_000
        self.nodes: dict[str, Node] = {node.name: node for node in fleet.nodes}
        self.jobs: dict[JobKey, JobObject] = {}
        self.pods: dict[str, PodObject] = {}
        self.flights: dict[JobKey, Flight] = {}
        self.wire: list[tuple[JobKey, str, PodObject]] = []
        self.touched: set[JobKey] | None = None
        self.told: dict[JobKey, Report] = {}
        self.faults: list[tuple[str, str]] = []
        self._serial = 0

    # The operator

    def decide(self) -> Plan:
        """One cycle; its decisions begin to be carried out."""
        touched = None if self.touched is None else frozenset(self.touched)
        used = self._used()
        plan = self.cycle(Snapshot(self._views(), {self.fleet.name: self._pool(used)}, touched=touched), self.now)
        self.touched = set()
        if plan.wake_at is not None and plan.wake_at <= self.now:
            self._fault("waking", f"wake at {plan.wake_at}, now is {self.now}")
        self._judge_successes(plan)
        for decision in plan.decisions:
            if decision.verb is Verb.ADMIT:
                self._judge_admission(decision, used)
            job = self.jobs[decision.key]
            if decision.verb is Verb.REPORT and decision.record == job.record:
                self.told[decision.key] = decision.report
                if not decision.delete:
                    continue
            self.flights[decision.key] = Flight(
                decision, job.version, deletes=list(decision.delete), creates=list(decision.create)
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

    def late_create(self) -> None:
        """A create lands that a dead operator had sent."""
        if self.wire:
            self._create(*self.wire.pop(0))

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
        current = known.pod.attempt == job.record.attempt and job.record.placement is not None
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
            node=placement.nodes[rank],
        )
        return PodObject(pod, job.spec.uid, job.spec.gang)

    def _create(self, key: JobKey, owner: str, made: PodObject) -> None:
        job = self.jobs.get(key)
        if job is None or job.spec.uid != owner:
            return  # an owner that is gone: the pod would be collected at once
        if job.refused is None:
            self.pods.setdefault(made.pod.name, made)
        self._touch(owner)

    def _land(self, key: JobKey) -> None:
        del self.flights[key]
        if key in self.jobs:
            self._touch(self.jobs[key].spec.uid)

    # Users

    def submit(self, gang: Gang, *, priority: int, backoff_limit: int, ttl: int | None) -> None:
        """A new job."""
        self._serial += 1
        key = JobKey("team", f"job{self._serial}")
        spec = Job(
            key=key,
            uid=f"uid-{self._serial}",
            generation=1,
            submitted=self.now,
            gang=gang,
            priority=priority,
            backoff_limit=backoff_limit,
            ttl=ttl,
        )
        self.jobs[key] = JobObject(spec)
        self._touch(spec.uid)

    def change(self, which: int, **fields: object) -> None:
        """A user changes fields of a job's spec; its shape only while it holds nothing, as the API server sees to."""
        job = self._pick(which)
        if job is not None and not ("gang" in fields and job.record.placement is not None):
            job.spec = replace(job.spec, generation=job.spec.generation + 1, **fields)  # type: ignore[arg-type]
            job.version += 1
            self._touch(job.spec.uid)

    def suspend_as_it_ends(self, which: int) -> None:
        """A user suspends a job of which all pods have just succeeded."""
        job = self._pick(which)
        if job is not None:
            for known in self._pods_of(job):
                if known.pod.phase is Phase.RUNNING and not known.pod.deleting:
                    self._set_pod(known, phase=Phase.SUCCEEDED, ready=False)
            self.change(which, suspended=True)

    def delete_job(self, which: int) -> None:
        """A user deletes a job; its pods are collected."""
        job = self._pick(which)
        if job is not None:
            self.remove_job(job.spec.key)

    def remove_job(self, key: JobKey) -> None:
        """A job is gone, and what it owns is being deleted."""
        job = self.jobs.pop(key)
        self.flights.pop(key, None)
        for known in self.pods.values():
            if known.owner == job.spec.uid:
                known.pod = replace(known.pod, deleting=True)

    def refuse(self, which: int) -> None:
        """The API server takes no more pods of a job's current attempt."""
        job = self._pick(which)
        if job is not None and job.record.placement is not None:
            job.refused = "exceeded quota: team"
            self._touch(job.spec.uid)

    # The kubelet, and others who reach for pods

    def set_pod(self, which: int, **facts: object) -> None:
        """Something happens to one pod that has not ended."""
        alive = [name for name in sorted(self.pods) if not self.pods[name].pod.ended]
        if alive:
            self._set_pod(self.pods[alive[which % len(alive)]], **facts)

    def end_pod(self, which: int, **facts: object) -> None:
        """One pod that has not ended fails, by no fault of its own."""
        self.set_pod(which, phase=Phase.FAILED, ready=False, finished_at=self.now, **facts)

    def progress(self, which: int) -> None:
        """One pod gets a step further: it starts, it succeeds, or it is gone if somebody deleted it."""
        names = [name for name in sorted(self.pods) if self.pods[name].pod.deleting or not self.pods[name].pod.ended]
        if names:
            self._progress(names[which % len(names)], finish=True)

    def start_pods(self) -> None:
        """All pods that wait for it start."""
        for name in sorted(self.pods):
            self._progress(name, finish=False)

    def fail(self, which: int) -> None:
        """A running pod fails by its own fault."""
        running = [
            n for n in sorted(self.pods) if self.pods[n].pod.phase is Phase.RUNNING and not self.pods[n].pod.deleting
        ]
        if running:
            known = self.pods[running[which % len(running)]]
            for job in self.jobs.values():
                if job.spec.uid == known.owner:
                    job.charged.add(known.pod.attempt)
            self._set_pod(known, phase=Phase.FAILED, ready=False, exit_code=1, finished_at=self.now)

    def vanish(self, which: int) -> None:
        """A pod is gone from one moment to the next."""
        if self.pods:
            name = sorted(self.pods)[which % len(self.pods)]
            self._touch(self.pods.pop(name).owner)

    def _progress(self, name: str, *, finish: bool) -> bool:
        known = self.pods[name]
        if known.pod.deleting:
            self._touch(self.pods.pop(name).owner)
        elif known.pod.phase is Phase.PENDING and known.pod.node in self.nodes:
            self._set_pod(known, phase=Phase.RUNNING, ready=True)
        elif known.pod.phase is Phase.RUNNING and finish:
            self._set_pod(known, phase=Phase.SUCCEEDED, ready=False)
        else:
            return False
        return True

    def _set_pod(self, known: PodObject, **facts: object) -> None:
        known.pod = replace(known.pod, **facts)  # type: ignore[arg-type]
        self._touch(known.owner)

    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now += seconds

    # Nodes

    def set_node(self, which: int, **facts: object) -> None:
        """A node that is there is cordoned, loses devices, turns not ready, or the reverse."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            self.nodes[name] = replace(self.nodes[name], **facts)  # type: ignore[arg-type]

    def lose_node(self, which: int) -> None:
        """A node is gone, and its pods are taken away."""
        if self.nodes:
            name = sorted(self.nodes)[which % len(self.nodes)]
            del self.nodes[name]
            for known in self.pods.values():
                if known.pod.node == name and not known.pod.ended:
                    self._set_pod(known, deleting=True, disrupted=True)

    def restore_nodes(self) -> None:
        """All nodes are there as at the beginning."""
        self.nodes = {node.name: node for node in self.fleet.nodes}

    # Letting it come to rest

    def settle(self, *, finish: bool) -> None:
        """Let everything go well from now on until nothing moves; jobs end if `finish`, else run on."""
        self.restore_nodes()
        for job in self.jobs.values():
            job.refused = None
            if job.spec.suspended:
                job.spec = replace(job.spec, suspended=False, generation=job.spec.generation + 1)
                job.version += 1
                self._touch(job.spec.uid)
        while self.wire:
            self.late_create()
        for _ in range(POOL_ROUNDS):
            plan = self.decide()
            moved = bool(self.flights)
            self.write_all()
            for name in sorted(self.pods):
                moved = self._progress(name, finish=finish) or moved
            self.check()
            if not moved:
                if plan.wake_at is None:
                    return
                self.now = max(self.now, plan.wake_at)
            self.now += 1
        self._fault("draining", f"still moving after {POOL_ROUNDS} rounds")

    # Judging

    def check(self) -> None:
        """What must hold after every step."""
        original = {node.name: node for node in self.fleet.nodes}
        for name, used in self._used().items():
            for resource, amount in used.items():
                if amount > original[name].allocatable.get(resource, 0):
                    self._fault("slots", f"{name}: {amount} {resource} taken")
        for job in self.jobs.values():
            placement = job.record.holds
            if placement is not None and len(placement.nodes) != job.spec.gang.replicas:
                self._fault("gangs", f"{job.spec.key}: {len(placement.nodes)} of {job.spec.gang.replicas} replicas")
            for known in self._pods_of(job):
                pod = known.pod
                if pod.attempt > job.record.attempt:
                    self._fault("order", f"{pod.name} is there before its attempt is on record")
                elif (
                    placement is not None
                    and pod.attempt == job.record.attempt
                    and (pod.node != placement.nodes[pod.rank])
                ):
                    self._fault("order", f"{pod.name} is on {pod.node}, on record is {placement.nodes[pod.rank]}")

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

    def _judge_successes(self, plan: Plan) -> None:
        decided = {decision.key: decision for decision in plan.decisions}
        for key, job in self.jobs.items():
            record = job.record
            done = [
                k.pod for k in self._pods_of(job) if k.pod.attempt == record.attempt and k.pod.phase is Phase.SUCCEEDED
            ]
            whole = record.placement is not None and len(done) == len(record.placement.nodes)
            if whole and record.ending is None and record.outcome is None and key not in self.flights:
                outcome = decided[key].record.outcome if key in decided else None
                if outcome is None or not outcome.succeeded:
                    self._fault("success", f"{key}: all replicas have succeeded, and it has not")

    def _fault(self, law: str, text: str) -> None:
        self.faults.append((law, text))

    # What the operator sees

    def _believed(self, job: JobObject) -> list[Record]:
        """Records whose devices count: the one that stands, and the one that is being written."""
        flight = self.flights.get(job.spec.key)
        return [job.record, flight.decision.record] if flight and not flight.status_written else [job.record]

    def _used(self) -> dict[str, dict[str, int]]:
        """What is taken on each node: by placements, and by pods that none of them covers."""
        used: dict[str, dict[str, int]] = {name: {} for name in (node.name for node in self.fleet.nodes)}
        covered: set[tuple[str, int]] = set()
        for job in self.jobs.values():
            held = {record.attempt: record.holds for record in self._believed(job) if record.holds is not None}
            for attempt, placement in held.items():
                covered.add((job.spec.uid, attempt))
                for name in placement.nodes:
                    self._count(used[name], job.spec.gang)
        for known in self.pods.values():
            if (known.owner, known.pod.attempt) not in covered and not known.pod.ended:
                self._count(used[known.pod.node], known.gang)
        return used

    def _count(self, used: dict[str, int], gang: Gang) -> None:
        for resource, amount in gang.demand(self.fleet.resource).requests:
            used[resource] = used.get(resource, 0) + amount

    def _pool(self, used: Mapping[str, Mapping[str, int]]) -> Pool:
        tree, ordered = Tree.build(self.fleet.name, self.fleet.levels, self.nodes.values())
        return Pool(self.fleet.name, self.fleet.resource, Ledger(tree, ordered, [used[node.name] for node in ordered]))

    def _views(self) -> tuple[Job, ...]:
        views = []
        for key, job in self.jobs.items():
            flight = self.flights.get(key)
            views.append(
                replace(
                    job.spec,
                    record=flight.decision.record if flight else job.record,
                    pods=tuple(known.pod for known in self._pods_of(job)),
                    busy=flight is not None,
                    refused=job.refused,
                )
            )
        return tuple(views)

    def _pods_of(self, job: JobObject) -> list[PodObject]:
        return [known for known in self.pods.values() if known.owner == job.spec.uid]

    def _pick(self, which: int) -> JobObject | None:
        return self.jobs[sorted(self.jobs)[which % len(self.jobs)]] if self.jobs else None

    def _touch(self, uid: str) -> None:
        if self.touched is not None:
            self.touched |= {key for key, job in self.jobs.items() if job.spec.uid == uid}
