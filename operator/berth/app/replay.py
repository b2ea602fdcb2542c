"""A dumped cycle run again: the plan in words, whether it is the same plan, and why one job waits."""

from collections.abc import Iterator

from berth.cluster.dump import Dump
from berth.core import explain
from berth.core.cycle import cycle
from berth.core.model import Job
from berth.core.plan import Decision, Plan, Verb


class NoSuchJobError(LookupError):
    """The job is not in the dump; the text says which are."""


def replay(dump: Dump) -> Plan:
    """Run the cycle again, on the same facts at the same time."""
    return cycle(dump.snapshot, dump.now)


def told(dump: Dump, plan: Plan) -> Iterator[str]:
    """The plan, one line for each decision, and how it compares with the plan that was dumped."""
    jobs, pools = dump.snapshot.jobs, dump.snapshot.pools
    nodes = sum(len(pool.ledger.nodes) for pool in pools.values())
    yield (
        f"at {explain.moment(dump.now)}, mode {dump.snapshot.mode}: {explain.count(len(jobs), 'job')}, "
        f"{explain.count(len(pools), 'pool')}, {explain.count(nodes, 'node')}; made by Berth {dump.made_by}"
    )
    for decision in plan.decisions:
        yield _line(decision)
    yield difference(dump.plan, plan) or "the same plan as the operator's"


def difference(before: Plan, after: Plan) -> str:
    """The first difference between two plans; empty if there is none."""
    if before == after:
        return ""
    was, now = {d.key: d for d in before.decisions}, {d.key: d for d in after.decisions}
    for key in sorted(was.keys() | now.keys()):
        if was.get(key) != now.get(key):
            old, new = (_line(found[key]) if key in found else "nothing" for found in (was, now))
            return f"NOT the same plan: {key}: the operator decided: {old}; here: {new}"
    if before.wake_at != after.wake_at:
        return f"NOT the same plan: the operator would wake at {before.wake_at}, here it is {after.wake_at}"
    return "NOT the same plan: the order of the decisions is another"


def explained(dump: Dump, plan: Plan, name: str) -> Iterator[str]:
    """All about one job, by its namespace and name. Raises NoSuchJobError."""
    job = next((job for job in dump.snapshot.jobs if str(job.key) == name), None)
    if job is None:
        known = sorted(str(job.key) for job in dump.snapshot.jobs)
        more = f" and {len(known) - 10} more" if len(known) > 10 else ""
        raise NoSuchJobError(f"there is no job {name}; there are {', '.join(known[:10]) or 'none'}{more}")
    yield f"{job.key}: {_asks(job)}"
    decision = next((decision for decision in plan.decisions if decision.key == job.key), None)
    if decision is None:
        placement = job.record.holds
        yield explain.spread(placement) if placement else "nothing is decided about it in this cycle"
        return
    yield _line(decision)
    pending = decision.report.pending
    if pending is not None:
        if pending.position is not None:
            yield f"position {pending.position}"
        if pending.forecast is not None:
            yield f"estimated start {explain.moment(pending.forecast.start)}"
        yield from (f"nearest: {change}" for change in pending.nearest)


def _line(decision: Decision) -> str:
    report = decision.report
    what = decision.event.note if decision.event else ""
    if decision.verb is Verb.REPORT and not what:
        pending = report.pending
        what = f"{pending.reason}: {explain.told(pending)}" if pending else report.conditions[0].message
    return f"{decision.verb} {decision.key} ({report.state}){f': {what}' if what else ''}"


def _asks(job: Job) -> str:
    gang = job.gang
    parts = [
        f"{explain.count(gang.replicas, 'replica')} of {explain.count(gang.devices, 'device')}",
        f"pools {', '.join(gang.pools)}" if gang.pools else "any pool",
        f"{gang.policy} {gang.level}" if gang.level else "",
        *(f"{name} {explain.quantity(name, amount)}" for name, amount in gang.requests),
        f"priority {job.priority}" if job.priority else "",
        f"maxDuration {explain.span(job.max_duration)}" if job.max_duration else "no maxDuration",
    ]
    return ", ".join(part for part in parts if part)
