"""The mirror under streams as an API server really sends them: late, twice, overtaken by answers, listed anew.

A history is the truth: every state of every object, by resourceVersion. What of it reaches the mirror, and in which
order, is drawn: events of jobs come in any order and any number of times, watches of pods in order but with any delay,
answers to writes whenever they like. Beside the mirror a naive belief is kept, which only knows what was delivered.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from berth.api.job import TrainingJob
from berth.cluster import records
from berth.cluster.mirror import Key, Mirror
from berth.cluster.project import ForeignPod, OwnPod
from berth.core.model import JobKey, Mode, Placement, Record
from berth.core.model import Phase as PodPhase
from tests.unit.wire_objects import GPU, a_job, a_node, foreign_pod, own_pod, placed, pool_facts, status_of

NODES = ("n1", "n2", "n3")
DEVICES = 4
KINDS = (
    *("job", "place", "place", "free", "finish", "delete job"),
    *("pod", "pod", "pod", "end pod", "delete pod", "replace pod", "foreign", "delete foreign", "relabel"),
    *("tell job", "tell job", "tell job", "tell latest", "tell latest", "tell end"),
    *("watch", "watch", "answer", "answer", "list", "watch foreign", "list foreign"),
    *("assume", "assume", "settle", "pool"),
)


@dataclass
class Life:
    """One job from its creation on: every state that it had, and whether it is deleted."""

    key: JobKey
    uid: str
    states: list[TrainingJob] = field(default_factory=list)
    attempt: int = 0
    deleted: bool = False

    @property
    def record(self) -> Record:
        return records.read(self.states[-1].status)


class Truth:
    """The API server: what there is, and the log of how it came to be."""

    def __init__(self) -> None:
        self.version = 0
        self.lives: dict[str, Life] = {}
        self.alive: dict[JobKey, Life] = {}
        self.pods: dict[Key, OwnPod] = {}
        self.pod_log: list[tuple[int, Key, OwnPod | None]] = []
        self.foreign: dict[Key, ForeignPod] = {}
        self.foreign_log: list[tuple[int, Key, ForeignPod | None]] = []

    def next(self) -> int:
        self.version += 1
        return self.version

    def write_job(self, life: Life, record: Record, state: str | None = None) -> None:
        status: dict[str, Any] = status_of(record) if record.attempt else {}
        if state is not None:
            status |= {"state": state, "finishedAt": "1970-01-01T00:00:09Z"}
        life.states.append(self._job(life, len(life.states) + 1, status))

    def _job(self, life: Life, generation: int, status: dict[str, Any]) -> TrainingJob:
        return a_job(
            life.key.name,
            uid=life.uid,
            version=self.next(),
            generation=generation,
            devicesPerReplica=DEVICES,
            status=status or None,
        )

    def create_job(self, name: str) -> None:
        life = Life(JobKey("team", name), f"{name}-{len(self.lives)}")
        self.lives[life.uid] = self.alive[life.key] = life
        life.states.append(self._job(life, 1, {}))

    def log_pod(self, key: Key, own: OwnPod | None) -> None:
        version = self.next()
        own = replace(own, version=version) if own is not None else None
        self.pod_log.append((version, key, own))
        if own is None:
            self.pods.pop(key, None)
        else:
            self.pods[key] = own

    def log_foreign(self, key: Key, pod: ForeignPod | None) -> None:
        version = self.next()
        self.foreign_log.append((version, key, pod))
        if pod is None:
            self.foreign.pop(key, None)
        else:
            self.foreign[key] = pod


@dataclass
class Belief:
    """What somebody who got the same deliveries may believe, worked out anew from all of them."""

    truth: Truth
    known: dict[JobKey, tuple[Life, int]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    assumed: dict[str, Record] = field(default_factory=dict)
    leaving: dict[str, tuple[Life, int]] = field(default_factory=dict)
    answers: list[tuple[Key, OwnPod]] = field(default_factory=list)
    watched: int = 0
    watched_foreign: int = 0

    def tell(self, life: Life, number: int) -> None:
        """A state of a job is delivered."""
        if life.uid in self.gone:
            return
        known = self.known.get(life.key)
        if known is not None and version(life, number) <= version(*known):
            return
        if known is not None and known[0] is not life:
            self.end(known[0])
        self.known[life.key] = (life, number)

    def end(self, life: Life) -> None:
        """The end of a job is delivered, or follows from the life of another."""
        self.gone.add(life.uid)
        known = self.known.get(life.key)
        if known is not None and known[0] is life:
            del self.known[life.key]
            if life.uid in self.assumed:
                self.leaving[life.uid] = known

    def settle(self, uid: str) -> None:
        self.assumed.pop(uid, None)
        self.leaving.pop(uid, None)

    def pods(self) -> dict[Key, OwnPod]:
        """What the watch has told, and what answers have told that it has not come to."""
        found: dict[Key, OwnPod] = {}
        for version, key, own in self.truth.pod_log:
            if version > self.watched:
                break
            if own is None:
                found.pop(key, None)
            else:
                found[key] = own
        for key, own in self.answers:
            if own.version > self.watched and (key not in found or own.version > found[key].version):
                found[key] = own
        return found

    def foreign(self) -> dict[Key, ForeignPod]:
        found: dict[Key, ForeignPod] = {}
        for version, key, pod in self.truth.foreign_log:
            if version > self.watched_foreign:
                break
            if pod is None:
                found.pop(key, None)
            else:
                found[key] = pod
        return found

    def held(self, life: Life, number: int) -> dict[int, Placement]:
        """What counts as held, by attempt: a placement in the writing, and what is on record, until that is written."""
        assumed = self.assumed.get(life.uid)
        found = {}
        for record in (records.read(life.states[number].status), assumed):
            if record is not None and record.holds is not None:
                found[record.attempt] = record.holds
        return found

    def taken(self) -> dict[str, int]:
        """Devices by node: each placement once, and each pod that no placement counts."""
        found = dict.fromkeys(NODES, 0)
        held: dict[str, dict[int, Placement]] = {}
        for life, number in (*self.known.values(), *self.leaving.values()):
            placements = held[life.uid] = self.held(life, number)
            for node in NODES:
                found[node] += DEVICES * max((held_.nodes.count(node) for held_ in placements.values()), default=0)
        for own in self.pods().values():
            pod = own.pod
            placement = held.get(own.job_uid, {}).get(pod.attempt)
            sits = placement is not None and placement.nodes[pod.rank : pod.rank + 1] == (pod.node,)
            if pod.node and not pod.ended and not sits:
                found[pod.node] += DEVICES
        for foreign in self.foreign().values():
            found[foreign.node] += 1
        return {node: devices for node, devices in found.items() if devices}


def version(life: Life, number: int) -> int:
    return int(life.states[number].metadata.resource_version)


class Stream:
    """Truth, mirror and belief, and the moves that change or connect them."""

    def __init__(self, make: Callable[[], Mirror]) -> None:
        self.truth = Truth()
        self.belief = Belief(self.truth)
        self.mirror = make()
        self.pools = 1
        self.mirror.put_pool(pool_facts())
        for node in NODES:
            self.mirror.put_node(("", node), a_node(node))

    def play(self, kind: str, first: int, second: int) -> None:
        """One move; nothing where there is nothing to move."""
        getattr(self, f"_{kind.replace(' ', '_')}")(first, second)

    # What happens in the cluster

    def _alive(self, which: int) -> Life | None:
        alive = [life for _, life in sorted(self.truth.alive.items())]
        return alive[which % len(alive)] if alive else None

    def _job(self, which: int, _: int) -> None:
        name = "ab"[which % 2]
        life = self.truth.alive.get(JobKey("team", name))
        if life is None:
            self.truth.create_job(name)
        else:
            self.truth.write_job(life, life.record)

    def _place(self, which: int, where: int) -> None:
        life = self._alive(which)
        if life is not None:
            life.attempt += 1
            self.truth.write_job(life, _placed(life.attempt, where))

    def _free(self, which: int, _: int) -> None:
        life = self._alive(which)
        if life is not None:
            self.truth.write_job(life, Record(attempt=life.attempt))

    def _finish(self, which: int, _: int) -> None:
        life = self._alive(which)
        if life is not None and life.record.placement is not None:
            self.truth.write_job(life, life.record, state="Succeeded")

    def _delete_job(self, which: int, _: int) -> None:
        life = self._alive(which)
        if life is not None:
            life.deleted = True
            del self.truth.alive[life.key]

    def _pod(self, which: int, how: int) -> None:
        life = self._alive(which)
        if life is None or not life.attempt:
            return
        attempt = life.attempt - (how % 4 == 3 and life.attempt > 1)
        rank, placement = how % 3, life.record.placement
        key = ("team", f"{life.key.name}-{attempt}-{rank}")
        if key in self.truth.pods or key in self.truth.foreign:
            return
        meant = placement.nodes[rank] if placement is not None and rank < len(placement.nodes) else NODES[how % 3]
        node = ("", meant, meant, meant, NODES[how % 3])[how % 5]
        uid = f"pod-{self.truth.version}"
        self.truth.log_pod(
            key, own_pod(key[1], job=life.key.name, job_uid=life.uid, uid=uid, node=node, devices=DEVICES)
        )

    def _end_pod(self, which: int, how: int) -> None:
        if self.truth.pods:
            key = sorted(self.truth.pods)[which % len(self.truth.pods)]
            own = self.truth.pods[key]
            node = own.pod.node or NODES[how % 3]
            phase = (PodPhase.RUNNING, PodPhase.FAILED)[how % 2]
            self.truth.log_pod(key, replace(own, pod=replace(own.pod, node=node, phase=phase)))

    def _delete_pod(self, which: int, _: int) -> None:
        if self.truth.pods:
            self.truth.log_pod(sorted(self.truth.pods)[which % len(self.truth.pods)], None)

    def _replace_pod(self, which: int, how: int) -> None:
        """A pod goes and another of that name comes, and its answer is quicker than the watch."""
        if self.truth.pods:
            key = sorted(self.truth.pods)[which % len(self.truth.pods)]
            own = self.truth.pods[key]
            self.truth.log_pod(key, None)
            self.truth.log_pod(key, replace(own, pod=replace(own.pod, uid=f"pod-{self.truth.version}")))
            if how % 2:
                self._answer(0, 0)

    def _foreign(self, which: int, where: int) -> None:
        key = ("other", f"f{which % 2}")
        self.truth.log_foreign(key, foreign_pod(key[1], NODES[where % 3], 1, uid=f"f-{self.truth.version}"))

    def _delete_foreign(self, which: int, _: int) -> None:
        if self.truth.foreign:
            self.truth.log_foreign(sorted(self.truth.foreign)[which % len(self.truth.foreign)], None)

    def _relabel(self, which: int, _: int) -> None:
        """Somebody takes Berth's labels from a pod: it is foreign from then on."""
        held = {key: own for key, own in self.truth.pods.items() if own.pod.node and not own.pod.ended}
        if held:
            key = sorted(held)[which % len(held)]
            own = held[key]
            self.truth.log_pod(key, None)
            self.truth.log_foreign(key, foreign_pod(key[1], own.pod.node, 1, uid=own.pod.uid))

    # What reaches the mirror

    def _tell_job(self, which: int, when: int) -> None:
        if self.truth.lives:
            life = self.truth.lives[sorted(self.truth.lives)[which % len(self.truth.lives)]]
            self._deliver(life, when % len(life.states))

    def _tell_latest(self, which: int, _: int) -> None:
        life = self._alive(which)
        if life is not None:
            self._deliver(life, len(life.states) - 1)

    def _deliver(self, life: Life, number: int) -> None:
        self.mirror.put_job(life.states[number])
        self.belief.tell(life, number)

    def _tell_end(self, which: int, _: int) -> None:
        dead = [life for _, life in sorted(self.truth.lives.items()) if life.deleted]
        if dead:
            self._bury(dead[which % len(dead)])

    def _bury(self, life: Life) -> None:
        self.mirror.drop_job(life.key, life.uid)
        self.belief.end(life)

    def _watch(self, how_many: int, _: int) -> None:
        to_come = [entry for entry in self.truth.pod_log if entry[0] > self.belief.watched]
        for version, key, own in to_come[: how_many % 3 + 1]:
            if own is None:
                self.mirror.drop_own_pod(key)
            else:
                self.mirror.put_own_pod(key, own)
            self.belief.watched = version

    def _answer(self, which: int, _: int) -> None:
        states = [(key, own) for _, key, own in self.truth.pod_log if own is not None]
        if states:
            key, own = states[-1 - which % min(4, len(states))]
            self.mirror.answer_own_pod(key, own)
            self.belief.answers.append((key, own))

    def _list(self, _: int, __: int) -> None:
        """A watch was lost: everything is listed, and what is not on the list is gone."""
        version = self.truth.version
        self.mirror.own_pods_listed(version)
        for key, own in list(self.mirror.own_pods().items()):
            if key not in self.truth.pods and own.version <= version:
                self.mirror.drop_own_pod(key)
        for key, own in self.truth.pods.items():
            self.mirror.put_own_pod(key, own)
        self.belief.watched = version

    def _watch_foreign(self, how_many: int, _: int) -> None:
        to_come = [entry for entry in self.truth.foreign_log if entry[0] > self.belief.watched_foreign]
        for version, key, pod in to_come[: how_many % 3 + 1]:
            if pod is None:
                self.mirror.drop_foreign_pod(key)
            else:
                self.mirror.put_foreign_pod(key, pod)
            self.belief.watched_foreign = version

    def _list_foreign(self, _: int, __: int) -> None:
        for key in self.belief.foreign().keys() - self.truth.foreign.keys():
            self.mirror.drop_foreign_pod(key)
        for key, pod in self.truth.foreign.items():
            self.mirror.put_foreign_pod(key, pod)
        self.belief.watched_foreign = self.truth.version

    def _assume(self, which: int, where: int) -> None:
        """The operator decides something about a job that it knows."""
        free = [key for key, entry in sorted(self.mirror.jobs.items()) if not entry.busy]
        if free:
            entry = self.mirror.jobs[free[which % len(free)]]
            attempt = entry.record.attempt
            record = (Record(attempt=attempt), _placed(attempt + 1, where))[where % 3 > 0]
            self.mirror.assume(entry.key, record)
            self.belief.assumed[entry.uid] = record

    def _settle(self, which: int, _: int) -> None:
        if self.belief.assumed:
            self.settle(sorted(self.belief.assumed)[which % len(self.belief.assumed)])

    def settle(self, uid: str) -> None:
        self.mirror.settle(self.truth.lives[uid].key, uid)
        self.belief.settle(uid)

    def _pool(self, _: int, how: int) -> None:
        """The pool is made anew, or gets another status."""
        known = self.mirror.pools.facts("h800")
        assert known is not None
        self.pools += 1
        if how % 2:
            self.mirror.drop_pool("h800", known.uid)
        self.mirror.put_pool(pool_facts(uid=f"pool-{self.pools}" if how % 2 else known.uid, version=self.pools))

    # Judging

    def taken(self) -> dict[str, int]:
        ledger = self.mirror.snapshot(Mode.ACTIVE).pools["h800"].ledger
        return {n.name: used[GPU] for n, used in zip(ledger.nodes, ledger.used, strict=True) if used.get(GPU)}

    def let_all_arrive(self) -> None:
        """Every event that is due, in the end, arrives; what is under way ends."""
        for life in self.truth.lives.values():
            if life.deleted:
                self._bury(life)
            else:
                self._deliver(life, len(life.states) - 1)
        while self.belief.watched < max((entry[0] for entry in self.truth.pod_log), default=0):
            self._watch(3, 0)
        while self.belief.watched_foreign < max((entry[0] for entry in self.truth.foreign_log), default=0):
            self._watch_foreign(3, 0)
        for uid in sorted(self.belief.assumed):
            self.settle(uid)

    def fresh(self) -> Mirror:
        """A mirror of an operator that starts now."""
        mirror = Mirror()
        mirror.put_pool(pool_facts())
        for node in NODES:
            mirror.put_node(("", node), a_node(node))
        mirror.own_pods_listed(self.truth.version)
        for key, own in self.truth.pods.items():
            mirror.put_own_pod(key, own)
        for key, pod in self.truth.foreign.items():
            mirror.put_foreign_pod(key, pod)
        for life in self.truth.alive.values():
            mirror.put_job(life.states[-1])
        return mirror


def _placed(attempt: int, where: int) -> Record:
    return placed(NODES[where % 3], NODES[(where + where // 3) % 3], attempt=attempt, at=0)


def seen(mirror: Mirror) -> Any:
    """All that a cycle can see, by value."""
    snapshot = mirror.snapshot(Mode.ACTIVE)
    ledger = snapshot.pools["h800"].ledger
    used = {n.name: {k: v for k, v in u.items() if v} for n, u in zip(ledger.nodes, ledger.used, strict=True)}
    jobs = {job.key: replace(job, pods=tuple(sorted(job.pods, key=lambda pod: pod.name))) for job in snapshot.jobs}
    return jobs, used, dict(mirror.own_pods())
