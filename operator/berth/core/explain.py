"""From facts to text: the one source of what conditions, `pending`, events and commands say about a job.

A sentence names what is needed, what is there, and where, with counts; a nearest change is listed only after it was
tried on the same free slots that refused the job.
"""

from datetime import UTC, datetime

from berth.core.model import Cause, Gang, Hindrance, Job, Outcome, Placement, Policy, Record
from berth.core.plan import Condition, Event, Forecast, Pending, Reason, Report, State
from berth.core.topology import NODE_LEVEL, Tree

PLACED, PODS_READY, FINISHED, DEVICES = "Placed", "PodsReady", "Finished", "DevicesAsChosen"
LONGEST = 1024
"""Characters of the longest text that a condition or an event takes."""


def count(number: int, noun: str) -> str:
    """`1 node`, `4 nodes`, `2 leaves`, `3 slots of 4 devices`."""
    if number == 1:
        return f"1 {noun}"
    head, of, rest = noun.partition(" of ")
    if head.endswith(("s", "x", "ch", "sh")):
        plural = f"{head}es"
    elif head.endswith("leaf"):
        plural = f"{head[:-1]}ves"
    elif head.endswith("y") and head[-2:-1] not in "aeiou":
        plural = f"{head[:-1]}ies"
    else:
        plural = f"{head}s"
    return f"{number} {plural}{of}{rest}"


def quantity(resource: str, amount: int, *, up: bool = False) -> str:
    """An amount in base units as people write it: `1.5` (cores), `63.9Gi`, `8`.

    Rounded down, or up, so that too little never reads as enough.
    """
    if resource == "cpu":
        return f"{amount // 1000}.{amount % 1000:03d}".rstrip("0").rstrip(".")
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        power = min(4, max(0, amount.bit_length() - 1) // 10)
        unit = 1 << 10 * power
        whole, tenth = divmod(-(-amount * 10 // unit) if up else amount * 10 // unit, 10)
        return f"{whole}{f'.{tenth}' if tenth else ''}{('', 'Ki', 'Mi', 'Gi', 'Ti')[power]}"
    return str(amount)


def moment(at: int) -> str:
    """A time in unix seconds as statuses print it: `2026-11-22T03:03:05Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: int) -> str:
    """A duration as manifests write it: `90s`, `15m`, `1h30m`."""
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def out_of_time(held: int, attempts: int, most: int) -> str:
    """Why a job must hold devices no longer: `held devices for 72h over 2 attempts, spec.maxDuration is 72h`."""
    over = f" over {count(attempts, 'attempt')}" if attempts > 1 else ""
    return f"held devices for {span(held)}{over}, spec.maxDuration is {span(most)}"


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
    return f"under {_named(tree.levels[level], name)}"


def within(level: str) -> str:
    """`under one spine`, `on one node`."""
    return f"{'on' if level == NODE_LEVEL else 'under'} one {level}"


def clip(text: str) -> str:
    """Shorten a text to what a condition or an event takes: whole words, and an ellipsis for the rest."""
    if len(text) <= LONGEST:
        return text
    words = text[:LONGEST].rpartition(" ")[0]
    return (words if len(words) > LONGEST // 2 else text[: LONGEST - 1]) + "…"


def minute(at: int) -> str:
    """A time to the minute, rounded up: `2026-11-22T06:40Z`."""
    return datetime.fromtimestamp(-(-at // 60) * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


def forecast(expected: Forecast) -> str:
    """When a job may start, and on what that rests: `may start at … if running jobs end by their maxDuration`."""
    if not expected.guessed:
        return f"may start at {minute(expected.start)} if running jobs end by their maxDuration"
    who = "one that declares" if expected.guessed == 1 else f"{expected.guessed} that declare"
    return (
        f"may start at {minute(expected.start)} if running jobs end by their maxDuration, "
        f"{span(expected.assumed)} assumed for {who} none"
    )


def told(pending: Pending) -> str:
    """Why a job waits and when it may start, as status, events and logs tell it."""
    if pending.forecast is None:
        return clip(pending.message)
    return clip(f"{pending.message}; {forecast(pending.forecast)}")


def news(pending: Pending) -> Event:
    """The event of a job that begins to wait for a reason."""
    return Event(pending.reason, told(pending))


def spread(placement: Placement) -> str:
    """`4 replicas on 4 nodes over 2 leaves under spine-1 of pool h800`."""
    spans = dict(placement.spans)
    replicas = count(len(placement.nodes), "replica")
    # A level may be called like the pool; but of the pool's levels, only that of the domain has one domain here.
    inside = spans.get(placement.level) == 1
    if inside and placement.level == NODE_LEVEL:
        return f"{replicas} on node {placement.domain} of pool {placement.pool}"
    wide = [count(n, level) for level, n in placement.spans if n > 1 and level != NODE_LEVEL]
    over = f" over {', '.join(wide)}" if wide else ""
    under = f" under {_named(placement.level, placement.domain)}" if inside else ""
    return f"{replicas} on {count(spans[NODE_LEVEL], 'node')}{over}{under} of pool {placement.pool}"


def _named(level: str, path: str) -> str:
    """A domain's path in few words; its level before it, where its own name does not say that: `rack r7`, `rack-7`.

    A domain above one whose name begins with its own is left out: `s1/s1-leaf1` is `s1-leaf1`.
    """
    parts: list[str] = []
    for part in reversed(path.split("/")):
        if not parts or not parts[-1].startswith(part):
            parts.append(part)
    path = "/".join(reversed(parts))
    return path if path.rsplit("/", 1)[-1].startswith(level) else f"{level} {path}"


def waiting(job: Job, pending: Pending) -> Report:
    """Report of a job without devices that wants some."""
    state = State.REQUEUED if job.record.attempt else State.PENDING
    return Report(
        state=state,
        conditions=(
            Condition(PLACED, False, pending.reason, told(pending)),
            Condition(PODS_READY, False, Reason.NO_PODS),
            Condition(FINISHED, False, Reason.NOT_STARTED),
        ),
        pending=pending,
    )


def hindered(job: Job, hindrance: Hindrance) -> Report:
    """Report of a job that something outside the cycle holds back."""
    return waiting(job, Pending(Reason(hindrance.reason), hindrance.message))


def backing_off(job: Job, until: str | None) -> Report:
    """Report of a job whose next attempt is not due before `until`, a printed time; None: it is due now."""
    last = job.record.attempts[-1] if job.record.attempts else None
    what = f"attempt {last.attempt} ended ({last.cause})" if last else "the last attempt ended"
    when = f"the next attempt starts after {until}" if until else "the next attempt is due"
    charged = f"; {job.record.failures} of {job.backoff_limit} failures used" if job.record.failures else ""
    return waiting(job, Pending(Reason.BACK_OFF, f"{what}, {when}{charged}"))


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


def placed(gang: Gang, record: Record, ready: int, held_up: str = "") -> Report:
    """Report of a job that holds devices, `ready` of its replicas being up or done.

    `held_up`: which replica is not, and why, where that is told.
    """
    placement = record.placement
    assert placement is not None, "a report on a placement needs one"
    total = len(placement.nodes)
    verb = "is" if ready == 1 else "are"
    if not placement.pods_created:
        pods = Condition(PODS_READY, False, Reason.CREATING, f"creating {count(total, 'pod')}")
    elif ready < total:
        text = f"{ready} of {total} replicas {verb} ready{f'; {held_up}' if held_up else ''}"
        pods = Condition(PODS_READY, False, Reason.WAITING_FOR_PODS, text)
    else:
        pods = Condition(PODS_READY, True, Reason.ALL_READY, f"{count(total, 'replica')} ready")
    running = record.started_at is not None
    return Report(
        state=State.RUNNING if running else State.STARTING,
        conditions=(
            Condition(PLACED, True, _kept(gang, placement), spread(placement)),
            pods,
            Condition(FINISHED, False, Reason.RUNNING if running else Reason.NOT_STARTED),
            *_devices(placement),
        ),
    )


def _devices(placement: Placement) -> tuple[Condition, ...]:
    """Whether every replica has the devices that were chosen for it; nothing where the node's plugin chooses."""
    if not placement.devices:
        return ()
    if not placement.differing:
        return (Condition(DEVICES, True, Reason.AS_CHOSEN),)
    text = f"{count(placement.differing, 'replica')} got other devices from the node's plugin than were chosen"
    return (Condition(DEVICES, False, Reason.OTHER_DEVICES, text),)


def _kept(gang: Gang, placement: Placement) -> Reason:
    """Whether the gang stayed within one domain of the level that it asked for."""
    wanted = gang.level
    if wanted is None or gang.policy is Policy.REQUIRED:
        return Reason.CONTIGUOUS
    return Reason.CONTIGUOUS if dict(placement.spans).get(wanted, 1) == 1 else Reason.SCATTERED


def stopping(record: Record, left: int, held_up: str = "") -> Report:
    """Report of a job whose attempt is being stopped, `left` of its pods still there; `held_up`: what keeps one."""
    assert record.ending is not None, "a report on an ending needs one"
    text = f"{record.ending.message}; {count(left, 'pod')} of attempt {record.attempt} still to stop"
    text = clip(f"{text}; {held_up}" if held_up else text)
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
    failed = Reason.MAX_DURATION_EXCEEDED if outcome.out_of_time else Reason.BACKOFF_LIMIT_EXCEEDED
    reason = Reason.SUCCEEDED if outcome.succeeded else failed
    return Report(
        state=State.SUCCEEDED if outcome.succeeded else State.FAILED,
        conditions=(
            Condition(PLACED, False, Reason.FINISHED, "the devices are given back"),
            Condition(PODS_READY, False, Reason.FINISHED),
            Condition(FINISHED, True, reason, clip(outcome.message)),
        ),
    )
