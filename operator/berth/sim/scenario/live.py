"""The present cluster and queue as a scenario, so that it can be played forward, kept, edited and asked.

It is made of the very snapshot that a cycle would decide on. What jobs hold is theirs; what anybody else holds on a
node is taken for the whole run. Nobody knows when a job ends: it is taken to hold its devices for all of its
`maxDuration`, and where it has none for `backfill.assumed`, both written into the file for who knows better.

What a scenario has no words for is told in a note, one sentence for each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from berth.api.folding import fold
from berth.api.wire import rfc3339
from berth.cluster.pools import Members
from berth.core.affinity import Terms
from berth.core.cycle import Snapshot
from berth.core.model import Gang, Job, Node, Shape
from berth.core.plan import Reason
from berth.core.slots import Ledger
from berth.core.stays import DEFAULT, STOPPING_SECONDS
from berth.sim.scenario.fields import written

Json = dict[str, Any]

_HELD_BACK = (Reason.TEMPLATE_REFUSED, Reason.UNKNOWN_PRIORITY_CLASS)
_HEADER = """\
# The cluster and its queue at {at}, written by berth snapshot. Play it forward with
#   berth simulate FILE
#   berth simulate FILE --set job=NAMESPACE/NAME,replicas=24
# Nobody knows when a job ends: each is taken to hold its devices for all of its maxDuration, and without one for
# backfill.assumed from its start on. Write `work` into a job (from its start on; of one that is placed: from now on)
# where you know better. No job comes that is not here.
"""


@dataclass(slots=True)
class Live:
    """A scenario as the values of its file, and what it leaves out."""

    document: Json
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The file."""
        at = self.document["at"]
        notes = "".join(f"# Note: {note}\n" for note in self.notes)
        body = yaml.safe_dump(self.document, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
        return _HEADER.format(at=at) + notes + body


def scenario(snapshot: Snapshot, members: Iterable[Members], now: int) -> Live:
    """Write down a snapshot that looks at all jobs; `members`: its pools as the mirror has them."""
    notes: list[str] = []
    jobs = [job for job in snapshot.jobs if job.record.outcome is None]
    keys = _label_keys(jobs)
    held = _held(jobs)
    pools = [_pool(one, snapshot.pools[one.facts.name].ledger, held, keys, notes) for one in members]
    pools = [pool for pool in pools if pool["hosts"]]
    known = {host["name"] for pool in pools for host in pool["hosts"]}
    listed = [_job(job, snapshot, known, now, notes) for job in jobs]
    document: Json = {
        "scenario": 1,
        "name": "cluster",
        "at": rfc3339(now),
        "cluster": {"pools": pools},
        "workload": {"jobs": [job for job in listed if job is not None]},
        "policies": ["berth"],
        "every": "1s",
        "backfill": {"depth": DEFAULT.depth, "assumed": written(DEFAULT.assumed)},
    }
    down = [name for one in members for name, node in one.nodes.items() if not node.ready and name in known]
    if down:
        document["failures"] = {"listed": [{"node": name, "start": "0s"} for name in sorted(down)]}
        notes.append(f"{len(down)} nodes are not ready ({_some(sorted(down))}); they stay so for the whole run")
    return Live(document, notes)


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


# Pools


def _held(jobs: Iterable[Job]) -> dict[str, Counter[str]]:
    """What jobs that the scenario lists hold, by node."""
    held: dict[str, Counter[str]] = {}
    for job in jobs:
        for node, requests in job.claims.items():
            total = held.setdefault(node, Counter())
            for name, amount in requests:
                total[name] += amount
    return held


def _label_keys(jobs: Iterable[Job]) -> set[str]:
    """Keys of the labels that jobs ask for: of the others nothing depends."""
    found: set[str] = set()
    for job in jobs:
        asked: list[Gang | Shape] = [job.gang, *(shape for _, shape in job.gang.shapes)]
        for one in asked:
            found.update(key for key, _ in one.selector)
            found.update(clause.key for term in one.affinity for clause in term if not clause.name)
    return found


def _pool(one: Members, ledger: Ledger, held: Mapping[str, Counter[str]], keys: set[str], notes: list[str]) -> Json:
    facts = one.facts
    counts = Counter(node.allocatable.get(facts.resource, 0) for node in ledger.nodes)
    usual = max((count for count in counts if count > 0), key=lambda count: counts[count], default=1)
    common = _common(ledger.nodes, facts.resource)
    hosts = []
    for node, used in zip(ledger.nodes, ledger.used, strict=True):
        others = {name: amount - held.get(node.name, Counter())[name] for name, amount in used.items()}
        hosts.append(_host(node, others, {**common, facts.resource: usual}, keys))
        if facts.problem is not None:
            hosts[-1]["cordoned"] = True
    if facts.problem is not None:
        notes.append(f"pool {facts.name} cannot be used ({facts.problem[1]}); its nodes take nothing in the whole run")
    if one.unplaced:
        names = _some(sorted(one.unplaced))
        notes.append(
            f"pool {facts.name}: {len(one.unplaced)} nodes miss a label of its network and are left out: {names}"
        )
    if facts.numbering is not None:
        notes.append(
            f"pool {facts.name}: devices are counted here, in the cluster they are chosen by id; a gang may start in "
            "the run for which the cluster would not have the right ones"
        )
    if facts.spares is not None:
        notes.append(f"pool {facts.name}: the nodes that it keeps spare are those of now, for the whole run")
    made: Json = {
        "name": facts.name,
        "device": {"resource": facts.resource, "count": usual},
        "levels": [{"name": level} for level, _ in facts.levels],
        "resources": {name: _quantity(name, amount) for name, amount in common.items()},
    }
    for key, sizes in (("sizes", facts.sizes_in_gang), ("sizesAlone", facts.sizes_alone)):
        if sizes is not None:
            made[key] = list(sizes)
    return {**made, "hosts": hosts}


def _common(nodes: Iterable[Node], resource: str) -> dict[str, int]:
    """What most nodes have besides their devices."""
    counts = Counter(
        tuple(sorted((name, amount) for name, amount in node.allocatable.items() if name != resource)) for node in nodes
    )
    return dict(counts.most_common(1)[0][0]) if counts else {}


def _host(node: Node, others: Mapping[str, int], usual: Mapping[str, int], keys: set[str]) -> Json:
    """A node: what differs from the usual one."""
    names = [*node.allocatable, *(name for name in usual if name not in node.allocatable)]
    own = {name: node.allocatable.get(name, 0) for name in names if node.allocatable.get(name, 0) != usual.get(name)}
    made: Json = {"name": node.name, "domains": list(node.path)}
    if own:
        made["resources"] = {name: _quantity(name, amount) for name, amount in own.items()}
    taken = {name: _quantity(name, amount) for name, amount in others.items() if amount > 0}
    if taken:
        made["taken"] = taken
    labels = {key: value for key, value in node.labels.items() if key in keys}
    if labels:
        made["labels"] = labels
    if node.taints:
        made["taints"] = [{"key": t.key, "value": t.value, "effect": t.effect} for t in node.taints]
    if node.cordoned or node.spare:
        made["cordoned"] = True
    return made


def _quantity(name: str, amount: int) -> str | int:
    if name == "cpu":
        return f"{amount}m" if amount % 1000 else amount // 1000
    return amount


# Jobs


def _job(job: Job, snapshot: Snapshot, known: set[str], now: int, notes: list[str]) -> Json | None:
    placement = job.record.placement
    made: Json = {
        "name": str(job.key),
        "submit": written(min(job.submitted, now) - now),
        "replicas": job.gang.replicas,
        "devices": job.gang.devices,
        **_asks(job, snapshot, notes),
    }
    if job.priority:
        made["priority"] = job.priority
    if job.max_duration is not None:
        made["maxDuration"] = written(job.max_duration)
    if job.record.held:
        made["held"] = written(job.record.held)
    if placement is not None:
        if not known.issuperset(placement.nodes):
            gone = _some(sorted(set(placement.nodes) - known))
            notes.append(f"{job.key} sits on nodes that are in no pool any more ({gone}); it is left out")
            return None
        made["placed"] = {"nodes": fold(placement.nodes), "since": written(min(placement.admitted_at - now, 0))}
        if job.record.ending is not None or job.deleting:
            made["work"] = written(STOPPING_SECONDS)
            word = "deleted" if job.deleting else "stopped"
            notes.append(f"{job.key} is being {word}: it is taken to be gone within a minute, and not to come again")
        return made
    if job.deleting:
        return None
    if job.suspended:
        made["heldBack"] = "Suspended"
    elif job.hindrance is not None and job.hindrance.reason in _HELD_BACK:
        made["heldBack"] = str(job.hindrance.reason)
    if job.record.retry_after is not None and job.record.retry_after > now:
        notes.append(f"{job.key} pauses after a failure until {rfc3339(job.record.retry_after)}; here it may start now")
    avoided = sorted({node for refusal in job.record.refusals if refusal.until > now for node in refusal.nodes})
    if avoided:
        notes.append(f"{job.key} avoids {_some(avoided)} for a while, where it did not come up; here it does not")
    return made


def _asks(job: Job, snapshot: Snapshot, notes: list[str]) -> Json:
    """What a job asks for besides its size."""
    gang = job.gang
    shape: Any = gang
    if gang.shapes:
        pools = [pool for name, pool in snapshot.pools.items() if not gang.pools or name in gang.pools]
        found = [one for pool in pools if (one := gang.shape(pool.defaults)) is not None and one.refused is None]
        shape = found[0] if found else gang
        if len(set(found)) > 1:
            notes.append(f"{job.key}: its pools merge different defaults into it; it counts as in {pools[0].name}")
    made: Json = {}
    if gang.pools:
        made["pools"] = list(gang.pools)
    if gang.level:
        made |= {"level": gang.level, "policy": str(gang.policy)}
    if gang.groups:
        made["groups"] = {"size": gang.groups.size, "level": gang.groups.level}
    resources = {pool.resource for pool in snapshot.pools.values()}
    requests = {name: _quantity(name, amount) for name, amount in shape.requests if name not in resources | {"pods"}}
    if requests:
        made["requests"] = requests
    if shape.selector:
        made["selector"] = dict(shape.selector)
    if shape.tolerations:
        made["tolerations"] = [
            {key: getattr(t, key) for key in ("key", "operator", "value", "effect") if getattr(t, key)}
            for t in shape.tolerations
        ]
    if shape.affinity:
        made["affinity"] = _terms(shape.affinity)
    return made


def _terms(terms: Terms) -> list[list[Json]]:
    return [
        [
            {
                "key": clause.key,
                "operator": clause.operator,
                **({"values": list(clause.values)} if clause.values else {}),
            }
            for clause in term
        ]
        for term in terms
    ]
