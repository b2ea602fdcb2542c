"""What is told about a pool: its counts, and what is wrong with its nodes or its spec."""

from berth.api.pool import PoolStatus
from berth.cluster.pools import Members, Pools
from berth.core.admission import Pool
from berth.core.census import Census, census
from berth.core.explain import count

_SHOWN = 5


def compose(members: Members, pools: Pools, *, before: PoolStatus | None, now: int) -> PoolStatus:
    """Compose a pool's whole status. `before` is the status that stands now."""
    facts = members.facts
    assert members.ledger is not None, "settled pools have a ledger"
    counted = census(Pool(facts.name, facts.resource, members.ledger))
    lacking = pools.unplaced(members)
    devices = sum(node.allocatable.get(facts.resource, 0) for node in lacking)
    since = {(c.type, str(c.status)): c.last_transition_time for c in before.conditions} if before else {}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "last_transition_time": since.get((kind, status), now),
            "observed_generation": facts.generation,
        }
        for kind, status, reason, message in (
            _ready(members, counted),
            _complete(members),
            _disjoint(members),
        )
    ]
    return PoolStatus.model_validate(
        {
            "observed_generation": facts.generation,
            "resource_name": facts.resource or None,
            "nodes": {
                "total": counted.nodes + len(lacking),
                "ready": counted.nodes_ready,
                "spare": counted.nodes_spare if facts.spares else None,
            },
            "devices": {
                "total": counted.total + devices,
                "free": counted.free,
                "used": counted.used,
                "unavailable": counted.unavailable + devices,
            },
            "levels": [
                {"level": level.level, "domains": level.domains, "largest_free": level.largest_free}
                for level in counted.levels[:-1]
            ],
            "conditions": conditions,
        }
    )


def _ready(members: Members, counted: Census) -> tuple[str, str, str, str]:
    facts = members.facts
    if facts.problem is not None:
        return ("Ready", "False", *facts.problem)
    if not counted.nodes and not members.unplaced:
        return ("Ready", "False", "NoNodes", "spec.nodeSelector selects no node; compare it with their labels")
    if not counted.total:
        text = f"no node has {facts.resource}; is the device plugin running, and is the resource's name right?"
        return ("Ready", "False", "NoDevices", text)
    widths = [count(level.domains, level.level) for level in counted.levels]
    return ("Ready", "True", "Ready", ", ".join(widths))


def _complete(members: Members) -> tuple[str, str, str, str]:
    if not members.unplaced:
        return ("TopologyIncomplete", "False", "Complete", "")
    levels = "; ".join(f"{level}: {' or '.join(keys)}" for level, keys in members.facts.levels)
    text = f"{_named(members.unplaced)} left out, for want of a label of some level ({levels})"
    return ("TopologyIncomplete", "True", "LabelsMissing", text)


def _disjoint(members: Members) -> tuple[str, str, str, str]:
    if not members.overlapping:
        return ("Overlapping", "False", "Disjoint", "")
    owners = ", ".join(sorted(set(members.overlapping.values())))
    text = f"{_named(set(members.overlapping))} selected by an older pool, too, and belong to it: {owners}"
    return ("Overlapping", "True", "NodesTaken", text)


def _named(nodes: set[str]) -> str:
    """`3 nodes (a, b, c)`, with no more names than a line has room for."""
    names = sorted(nodes)
    more = ", …" if len(names) > _SHOWN else ""
    return f"{count(len(names), 'node')} ({', '.join(names[:_SHOWN])}{more})"
