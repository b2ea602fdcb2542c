"""Faults of gangs: why an attempt cannot go on, and what is waited for before that is said.

A node that is not ready may be a kubelet that restarts, so it has a grace, unless pods of the gang already suffer. A
pod on a node without contact may still run, so its end is waited for; but not for ever. Replicas that do not come up
keep a whole gang's devices idle, so they have a deadline, and their nodes are avoided by this job for a while; so are
nodes that turn a replica away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from berth.core.explain import count, moment, out_of_time, span
from berth.core.model import (
    Cause,
    Ending,
    FirstFailure,
    Job,
    NodeTrouble,
    Phase,
    Placement,
    Pod,
    Record,
    Refusal,
    Trouble,
)
from berth.core.plan import Reason

AT_ONCE = (Cause.NODE_FAILURE, Cause.PODS_LOST)
"""Causes after which a gang goes on at once, with every rank that can stay where it was."""
KEPT_REFUSALS = 8
MOST_REFUSED = 64
"""Nodes that one refusal names at most, so that a status stays small; of more, the next attempt names others."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long doubts are waited out, in seconds.

    `node_grace`: a node may be not ready for so long before its gangs are stopped. `charge_window`: a node that turns
    bad within it takes a failure upon itself. `unconfirmed`: from an attempt's ending on, pods on a node without
    contact are waited for. `unschedulable`: kube-scheduler may find no room for a pod for so long. `avoid`, doubling to
    `avoid_most`: a job stays away from nodes on which its replicas did not come up.
    """

    node_grace: int = 20
    charge_window: int = 90
    unconfirmed: int = 300
    unschedulable: int = 60
    avoid: int = 600
    avoid_most: int = 3600


DEFAULT_WAITS = Waits()

# Pods and what is on record of them


def open_pods(job: Job) -> dict[int, Pod]:
    """Pods of the current attempt by rank, but for ranks that are on record as done: those may go."""
    placement = job.record.placement
    assert placement is not None, "only a placed job has a current attempt"
    wanted = set(range(len(placement.nodes))).difference(placement.succeeded)
    return {pod.rank: pod for pod in job.pods if pod.attempt == job.record.attempt and pod.rank in wanted}


def done(placement: Placement, pods: Mapping[int, Pod]) -> set[int]:
    """Ranks that have succeeded: on record, or as their pods say."""
    return {*placement.succeeded, *(rank for rank, pod in pods.items() if pod.phase is Phase.SUCCEEDED)}


# Why an attempt has to stop


def stopped(job: Job, pods: Mapping[int, Pod], now: int, waits: Waits) -> Record | None:
    """The record with the reason why the current attempt cannot or must not go on; None if it can.

    `pods` are the `open_pods`.
    """
    record, placement = job.record, job.record.placement
    assert placement is not None, "only a placed job gets here"
    over = done(placement, pods)
    missing = [rank for rank in range(len(placement.nodes)) if rank not in pods and rank not in over]
    ending = _reason_to_stop(job, placement, pods, missing, now, waits)
    late = _turned_away(placement, pods)
    # A node that turns a replica away makes others fail, or go; but a node that is lost has a reason to do so.
    if ending is not None and (late is None or ending.cause is Cause.NODE_FAILURE):
        return replace(record, ending=ending)
    late = late or _not_up_in_time(job, placement, pods, now) or _without_room(placement, pods, now, waits)
    if late is None:
        return None
    text, ranks = late
    cause = Cause.START_DEADLINE
    times = 1 + sum(1 for attempt in record.attempts if attempt.cause == cause)
    until = now + min(waits.avoid_most, waits.avoid << min(times - 1, 10))
    refusal = Refusal(frozenset([placement.nodes[rank] for rank in ranks][:MOST_REFUSED]), until, job.generation)
    kept = [known for known in record.refusals if known.until > now][1 - KEPT_REFUSALS :]
    return replace(record, ending=Ending(cause, now, text), refusals=(*kept, refusal))


def _reason_to_stop(
    job: Job, placement: Placement, pods: Mapping[int, Pod], missing: list[int], now: int, waits: Waits
) -> Ending | None:
    # A container may answer SIGTERM with any exit code: what fails while somebody deletes it, or beside such, is lost.
    leaving = sorted((p.rank, p.name) for p in pods.values() if p.deleting and p.phase is not Phase.SUCCEEDED)
    failed = [pod for pod in pods.values() if pod.phase is Phase.FAILED]
    disrupted = [pod for pod in failed if pod.disrupted]
    first = min(disrupted or failed, key=lambda pod: (pod.finished_at or now, pod.rank), default=None)
    suffering = bool(failed or leaving or (missing and placement.pods_created))
    lost = [
        trouble
        for trouble in concerning(job, _unfinished(placement, pods))
        if suffering or _past_grace(trouble, now, waits)
    ]
    if lost:
        return _node_failure(lost, first, now)
    if first is not None and not leaving:
        return _failure(first, now)
    unwanted = _not_to_go_on(job, placement, now)
    if unwanted is not None:
        return unwanted
    if leaving:
        return Ending(Cause.PODS_LOST, now, f"somebody else deleted {_some([name for _, name in leaving], 'pod')}")
    if missing and placement.pods_created:
        names = [f"{job.key.name}-{job.record.attempt}-{rank}" for rank in missing]
        return Ending(Cause.PODS_LOST, now, f"{_some(names, 'pod')} vanished")
    if missing and job.refused is not None:
        return Ending(Cause.PODS_REFUSED, now, job.refused)
    if missing and placement.generation != job.generation:
        return Ending(Cause.EDITED, now, "the job was edited before all of its pods were created")
    return None


def _not_to_go_on(job: Job, placement: Placement, now: int) -> Ending | None:
    """The ending of a gang that is well, but suspended or out of time."""
    if job.suspended:
        return Ending(Cause.SUSPENDED, now, "spec.suspend is true")
    held = job.record.held + now - placement.admitted_at
    if job.max_duration is not None and held >= job.max_duration:
        return Ending(Cause.TIME_LIMIT, now, out_of_time(held, job.record.attempt, job.max_duration))
    return None


def _node_failure(lost: list[NodeTrouble], first: Pod | None, now: int) -> Ending:
    if first is None:
        return Ending(Cause.NODE_FAILURE, now, told(lost))
    detail = FirstFailure(first.rank, first.node, first.exit_code, first.message)
    return Ending(Cause.NODE_FAILURE, now, f"{told(lost)}; {failure(detail)}", detail)


def _failure(first: Pod, now: int) -> Ending:
    """The ending that the first failed pod calls for: charged to the job unless the pod was taken away from it."""
    detail = FirstFailure(first.rank, first.node, first.exit_code, first.message)
    if first.disrupted:
        said = f": {first.message}" if first.message else ""
        return Ending(Cause.PODS_LOST, now, f"replica {first.rank} was taken away {_on(first.node)}{said}", detail)
    return Ending(Cause.OWN_FAILURE, now, failure(detail), detail)


def failure(first: FirstFailure) -> str:
    """`replica 3 failed on node n3 with exit code 1`."""
    code = "" if first.exit_code is None else f" with exit code {first.exit_code}"
    return f"replica {first.replica} failed {_on(first.node)}{code}"


def _on(node: str) -> str:
    return f"on node {node}" if node else "before it had a node"


# Nodes


def told(lost: Iterable[NodeTrouble]) -> str:
    """`nodes n1, n2 are gone and node n7 is not ready`."""
    by_kind: dict[Trouble, list[str]] = {}
    for trouble in lost:
        by_kind.setdefault(trouble.kind, []).append(trouble.node)
    told_of = []
    for kind, names in by_kind.items():
        verb = str(kind) if len(names) == 1 else f"are{str(kind).removeprefix('is')}"
        told_of.append(f"{_some(names, 'node')} {verb}")
    return " and ".join(told_of)


def _unfinished(placement: Placement, pods: Mapping[int, Pod]) -> set[str]:
    """Nodes whose replicas have not all succeeded: of the others nothing is wanted any more."""
    over = done(placement, pods)
    return {node for rank, node in enumerate(placement.nodes) if rank not in over}


def concerning(job: Job, nodes: set[str]) -> list[NodeTrouble]:
    """Troubles of those nodes."""
    return [trouble for trouble in job.troubles if trouble.node in nodes]


def _past_grace(trouble: NodeTrouble, now: int, waits: Waits) -> bool:
    return trouble.since is None or now >= trouble.since + waits.node_grace


def unconfirmed(job: Job, left: Iterable[Pod], ending: Ending, now: int, waits: Waits) -> tuple[Pod, ...]:
    """Pods that are being deleted and that nobody will confirm gone, so that the attempt goes on without them.

    On a node that is gone or out of service nothing runs any more; one without contact may come back, and is waited
    for, but not for ever.
    """
    kinds = {trouble.node: trouble.kind for trouble in job.troubles}
    late = now >= ending.at + waits.unconfirmed
    return tuple(
        pod
        for pod in left
        if pod.deleting and (kind := kinds.get(pod.node)) is not None and (late or kind is not Trouble.NOT_READY)
    )


def waited_for(job: Job, left: Iterable[Pod], ending: Ending, waits: Waits) -> str:
    """Which pod cannot be confirmed gone, and until when it is waited for; empty if there is none."""
    silent = {trouble.node for trouble in job.troubles if trouble.kind is Trouble.NOT_READY}
    names = [f"{pod.name} on node {pod.node}" for pod in left if pod.node in silent]
    until = moment(ending.at + waits.unconfirmed)
    return f"{_some(sorted(names), 'pod')} cannot be confirmed gone, waited for until {until}" if names else ""


def without(pods: tuple[Pod, ...]) -> str:
    """`; without pod train-1-3 on node n3, which could not be confirmed gone`; empty if there is none."""
    if not pods:
        return ""
    names = [f"{pod.name} on node {pod.node}" for pod in pods]
    return f"; without {_some(names, 'pod')}, which could not be confirmed gone"


# Replicas that do not come up


def _not_up_in_time(job: Job, placement: Placement, pods: Mapping[int, Pod], now: int) -> tuple[str, list[int]] | None:
    """What the first replica waits for that has not run by the start deadline, and the ranks of all such.

    One that runs has come up, be it ready or not: `started_at` needs all ready at one moment that somebody saw, and an
    operator that was away may see a gang first when one of its replicas has just become unready after hours.
    """
    limit = job.start_deadline
    if limit is None or job.record.started_at is not None or now < placement.admitted_at + limit:
        return None
    over = done(placement, pods)
    late = [rank for rank in range(len(placement.nodes)) if rank not in over and not _has_run(pods.get(rank))]
    if not late:
        return None
    rank = late[0]
    many = f"{len(late)} of {count(len(placement.nodes), 'replica')} not running {span(limit)} after admission"
    return f"{many}: replica {rank} on node {placement.nodes[rank]}: {waits_for(pods.get(rank))}", late


def _without_room(
    placement: Placement, pods: Mapping[int, Pod], now: int, waits: Waits
) -> tuple[str, list[int]] | None:
    """What kube-scheduler says of the first replica that it has not let onto its node for too long; all such ranks."""
    late = [
        rank
        for rank, pod in sorted(pods.items())
        if pod.unschedulable_since is not None and now >= pod.unschedulable_since + waits.unschedulable
    ]
    if not late:
        return None
    rank = late[0]
    which = f"kube-scheduler keeps replica {rank} off node {placement.nodes[rank]}"
    return f"{which} for {span(waits.unschedulable)}: {waits_for(pods[rank])}", late


def _turned_away(placement: Placement, pods: Mapping[int, Pod]) -> tuple[str, list[int]] | None:
    """What the first node says that would not have its replica; all ranks to which that happened."""
    ranks = [rank for rank, pod in sorted(pods.items()) if pod.turned_away and not pod.disrupted]
    if not ranks:
        return None
    rank = ranks[0]
    return f"node {placement.nodes[rank]} turned replica {rank} away: {pods[rank].turned_away}", ranks


def first_held_up(placement: Placement, pods: Mapping[int, Pod]) -> str:
    """Which replica is not ready and says why, first by rank; empty if none says anything."""
    stuck = next((pod for _, pod in sorted(pods.items()) if pod.waiting and not _up(pod)), None)
    return f"replica {stuck.rank} on node {placement.nodes[stuck.rank]}: {stuck.waiting}" if stuck else ""


def _up(pod: Pod | None) -> bool:
    return pod is not None and (pod.ready or pod.phase is Phase.SUCCEEDED)


def _has_run(pod: Pod | None) -> bool:
    return pod is not None and pod.phase is not Phase.PENDING


def waits_for(pod: Pod | None) -> str:
    """What a replica that has not run waits for."""
    if pod is None:
        return "its pod is not there"
    if pod.waiting:
        return pod.waiting
    if not pod.node:
        return "kube-scheduler has not said anything"
    return "no kubelet has reported"


def avoiding(job: Job, now: int) -> Job:
    """The job with a gang that stays away from the nodes that have refused it."""
    avoid = tuple(r for r in job.record.refusals if r.until > now and r.generation == job.generation)
    return replace(job, gang=replace(job.gang, avoid=avoid)) if avoid else job


# Time


def due(job: Job, now: int, waits: Waits) -> list[int]:
    """Moments from which on time alone changes the next step; one that is past, and was not acted upon, is now."""
    record, placement = job.record, job.record.placement
    if placement is None:
        return [refusal.until for refusal in record.refusals if refusal.until > now]
    if record.ending is not None:
        kinds = {trouble.node: trouble.kind for trouble in job.troubles}
        left = [pod for pod in job.pods if pod.attempt == record.attempt and pod.deleting and not pod.ended]
        waited = any(kinds.get(pod.node) is Trouble.NOT_READY for pod in left)
        return [max(now, record.ending.at + waits.unconfirmed)] if waited else []
    pods = open_pods(job)
    moments = [
        trouble.since + waits.node_grace
        for trouble in concerning(job, _unfinished(placement, pods))
        if trouble.since is not None
    ]
    if job.start_deadline is not None and record.started_at is None:
        moments.append(placement.admitted_at + job.start_deadline)
    moments += [
        pod.unschedulable_since + waits.unschedulable for pod in pods.values() if pod.unschedulable_since is not None
    ]
    return [max(now, at) for at in moments]


def _some(names: list[str], noun: str) -> str:
    """The first names of a list, and how many more."""
    shown = ", ".join(names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{noun if len(names) == 1 else f'{noun}s'} {shown}{more}"


def shape_unknown(job: Job, ending: Ending) -> bool:
    """Whether it is not known yet what a replica takes, so that a gang cannot be repaired though it might be.

    So it is after a restart of the operator, until the dry run: its nodes are not given away meanwhile.
    """
    validating = job.hindrance is not None and job.hindrance.reason == Reason.VALIDATING
    return validating and ending.cause in AT_ONCE and not job.suspended
