"""From facts to text: the one source of what conditions, `pending`, events and commands say about a job.

A sentence names what is needed, what is there, and where, with counts; a nearest change is listed only after it was
tried on the same free slots that refused the job.
"""

from berth.core.model import Cause, Gang, Hindrance, Job, Outcome, Placement, Policy, Record
from berth.core.plan import Condition, Pending, Reason, Report, State
from berth.core.topology import NODE_LEVEL, Tree

PLACED, PODS_READY, FINISHED = "Placed", "PodsReady", "Finished"


def count(number: int, noun: str) -> str:
    """`1 node`, `4 nodes`, `2 leaves`."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "x", "ch", "sh")):
        plural = f"{noun}es"
    elif noun.endswith("leaf"):
        plural = f"{noun[:-1]}ves"
    elif noun.endswith("y") and noun[-2:-1] not in "aeiou":
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}s"
    return f"{number} {plural}"


def domain_name(tree: Tree, level: int, domain: int) -> str:
    """A domain's full name: its path below the pool (`spine-1/leaf-2`), a node by its own name, the pool by its."""
    if level in (0, tree.leaf_level):
        return tree.domains[level][domain]
    parts = []
    for above in range(level, 0, -1):
        parts.append(tree.domains[above][domain])
        domain = tree.parent[above][domain]
    return "/".join(reversed(parts))


def where(tree: Tree, level: int, domain: int) -> str:
    """A domain in a sentence: `under spine-1/leaf-2`, `on node h800-0001`, `in pool h800`."""
    name = domain_name(tree, level, domain)
    if level == 0:
        return f"in pool {name}"
    if level == tree.leaf_level:
        return f"on node {name}"
    word = tree.levels[level]
    own = tree.domains[level][domain]
    return f"under {name}" if own.startswith(word) else f"under {word} {name}"


def spread(placement: Placement) -> str:
    """`4 replicas on 4 nodes under spine-1/leaf-0 of pool h800`."""
    nodes = dict(placement.spans)[NODE_LEVEL]
    replicas = count(len(placement.nodes), "replica")
    if placement.level == NODE_LEVEL:
        return f"{replicas} on node {placement.domain} of pool {placement.pool}"
    if placement.level == placement.pool:
        wide = [count(n, level) for level, n in placement.spans if level != NODE_LEVEL]
        over = f" over {', '.join(wide)}" if wide else ""
        return f"{replicas} on {count(nodes, 'node')}{over} of pool {placement.pool}"
    name = placement.domain.rsplit("/", 1)[-1]
    under = placement.domain if name.startswith(placement.level) else f"{placement.level} {placement.domain}"
    return f"{replicas} on {count(nodes, 'node')} under {under} of pool {placement.pool}"


def waiting(job: Job, pending: Pending) -> Report:
    """Report of a job without devices that wants some."""
    state = State.REQUEUED if job.record.attempt else State.PENDING
    return Report(
        state=state,
        conditions=(
            Condition(PLACED, False, pending.reason, pending.message),
            Condition(PODS_READY, False, Reason.NO_PODS),
            Condition(FINISHED, False, Reason.NOT_STARTED),
        ),
        pending=pending,
    )


def hindered(job: Job, hindrance: Hindrance) -> Report:
    """Report of a job that something outside the cycle holds back."""
    return waiting(job, Pending(Reason(hindrance.reason), hindrance.message))


def backing_off(job: Job, until: str) -> Report:
    """Report of a job whose next attempt is not due yet; `until` is a printed time."""
    last = job.record.attempts[-1] if job.record.attempts else None
    what = f"attempt {last.attempt} ended ({last.cause})" if last else "the last attempt ended"
    charged = f"; {job.record.failures} of {job.backoff_limit} failures used" if job.record.failures else ""
    return waiting(job, Pending(Reason.BACK_OFF, f"{what}, the next attempt starts after {until}{charged}"))


def suspended() -> Report:
    """Report of a job that its owner keeps from running."""
    text = "spec.suspend is true"
    return Report(
        state=State.SUSPENDED,
        conditions=(
            Condition(PLACED, False, Reason.SUSPENDED, text),
            Condition(PODS_READY, False, Reason.NO_PODS),
            Condition(FINISHED, False, Reason.SUSPENDED, text),
        ),
    )


def placed(gang: Gang, record: Record, ready: int) -> Report:
    """Report of a job that holds devices, `ready` of its replicas being up or done."""
    placement = record.placement
    assert placement is not None, "a report on a placement needs one"
    total = len(placement.nodes)
    if not placement.pods_created:
        pods = Condition(PODS_READY, False, Reason.CREATING, f"creating {count(total, 'pod')}")
    elif ready < total:
        pods = Condition(PODS_READY, False, Reason.WAITING_FOR_PODS, f"{ready} of {total} replicas are ready")
    else:
        pods = Condition(PODS_READY, True, Reason.ALL_READY, f"{count(total, 'replica')} ready")
    running = record.started_at is not None
    return Report(
        state=State.RUNNING if running else State.STARTING,
        conditions=(
            Condition(PLACED, True, _kept(gang, placement), spread(placement)),
            pods,
            Condition(FINISHED, False, Reason.RUNNING if running else Reason.NOT_STARTED),
        ),
    )


def _kept(gang: Gang, placement: Placement) -> Reason:
    """Whether the gang stayed within one domain of the level that it asked for."""
    wanted = gang.level
    if wanted is None or gang.policy is Policy.REQUIRED:
        return Reason.CONTIGUOUS
    return Reason.CONTIGUOUS if dict(placement.spans).get(wanted, 1) == 1 else Reason.SCATTERED


def stopping(record: Record, left: int) -> Report:
    """Report of a job whose attempt is being stopped, `left` of its pods still there."""
    assert record.ending is not None, "a report on an ending needs one"
    text = f"{record.ending.message}; {count(left, 'pod')} of attempt {record.attempt} still to stop"
    if record.ending.cause is Cause.SUSPENDED:
        state, pending = State.SUSPENDED, None
    else:
        state, pending = State.REQUEUED, Pending(Reason.STOPPING, text)
    return Report(
        state=state,
        conditions=(
            Condition(PLACED, True, Reason.STOPPING, text),
            Condition(PODS_READY, False, Reason.STOPPING, text),
            Condition(FINISHED, False, Reason.STOPPING),
        ),
        pending=pending,
    )


def finished(outcome: Outcome) -> Report:
    """Report of a job that succeeded, or failed for good."""
    reason = Reason.SUCCEEDED if outcome.succeeded else Reason.BACKOFF_LIMIT_EXCEEDED
    return Report(
        state=State.SUCCEEDED if outcome.succeeded else State.FAILED,
        conditions=(
            Condition(PLACED, False, Reason.FINISHED, "the devices are given back"),
            Condition(PODS_READY, False, Reason.FINISHED),
            Condition(FINISHED, True, reason, outcome.message),
        ),
    )
