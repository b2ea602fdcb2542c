"""Pools in the mirror: which nodes belong to which pool, the network tree over them, and what is taken.

A change of one node costs a list operation; only when a node comes, goes or moves in the network is the tree of its
pool built anew, once per snapshot. What is taken on a node is summed up from its claims whenever one of them changes,
never adjusted, so that it cannot drift.
"""

from collections import Counter
from collections.abc import Iterable, KeysView, Mapping
from dataclasses import dataclass, field, replace

from berth.accel.hand_over import told
from berth.accel.profile import HandOver
from berth.api.pod_defaults import PodDefaults
from berth.cluster.claims import Claim
from berth.core.admission import Pool
from berth.core.layout import UNKNOWN, Layout
from berth.core.model import Health, Node
from berth.core.numbering import Numbering
from berth.core.slots import Ledger
from berth.core.spares import Keeper, Spares
from berth.core.topology import Tree

_MOST_INDEXES = 200
"""Distinct demands for which free slots are kept counted, per pool."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause of a node selector, operators as in Kubernetes: In, NotIn, Exists, DoesNotExist."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels satisfy this clause; a label that is not there satisfies NotIn."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
        raise ValueError(f"selector operator {self.operator!r} is none of In, NotIn, Exists, DoesNotExist")


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """An AcceleratorPool, its profile resolved.

    `levels` widest first, each with the node labels that may carry its domain, in order of preference. `layout`: how
    Berth chooses devices by id, None where the plugin does; `hand_over`: in which words ids stand on pods.
    `defaults`: what its replicas get; `defaults_id` is equal where they are equal, and empty without any. `problem`:
    why the pool cannot be used.
    """

    name: str
    uid: str
    generation: int
    version: int
    created: int
    selector: tuple[Requirement, ...]
    levels: tuple[tuple[str, tuple[str, ...]], ...]
    resource: str
    sizes_alone: tuple[int, ...] | None = None
    sizes_in_gang: tuple[int, ...] | None = None
    layout: Layout | None = None
    hand_over: HandOver = field(default_factory=HandOver)
    defaults: PodDefaults | None = None
    defaults_id: str = ""
    spares: Spares | None = None
    problem: tuple[str, str] | None = None

    @property
    def numbering(self) -> Numbering | None:
        """How its devices are chosen by id; None where they are only counted."""
        return Numbering(self.resource, self.layout) if self.layout is not None else None

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Say whether a node with these labels belongs to the pool."""
        return all(requirement.matches(labels) for requirement in self.selector)

    def path(self, labels: Mapping[str, str]) -> tuple[str, ...] | None:
        """A node's domain at each level, widest first; None if it carries no label for one of them."""
        found = []
        for _, keys in self.levels:
            name = next((labels[key] for key in keys if labels.get(key)), None)
            if name is None:
                return None
            found.append(name)
        return tuple(found)


@dataclass(slots=True)
class Members:
    """The nodes of one pool as they stand, and what was built from them."""

    facts: PoolFacts
    nodes: dict[str, Node] = field(default_factory=dict)
    unplaced: set[str] = field(default_factory=set)
    """Nodes that miss a level: they take nothing."""
    overlapping: dict[str, str] = field(default_factory=dict)
    """Nodes that this pool selects, too, and the pool that has them."""
    ledger: Ledger | None = None
    keeper: Keeper | None = None
    """Marks the spares of the ledger; None if the pool keeps none."""


class Pools:
    """All pools with their nodes and claims."""

    def __init__(self) -> None:
        self._members: dict[str, Members] = {}
        self._nodes: dict[str, Node] = {}
        self._home: dict[str, str] = {}
        self._claims: dict[str, dict[str, Claim]] = {}
        self._resources: dict[str, str] = {}
        self._health: dict[str, Health] = {}
        self._dirty: set[str] = set()
        self._reassign = False

    # What is there

    def set_pool(self, facts: PoolFacts) -> bool:
        """Take in a new or changed pool; False if nothing but its status changed."""
        if facts.resource:
            self._resources[facts.name] = facts.resource
        known = self._members.get(facts.name)
        if known is not None and replace(known.facts, version=facts.version) == facts:
            known.facts = facts
            return False
        self._members[facts.name] = Members(facts)
        self._reassign = True
        return True

    def drop_pool(self, name: str) -> None:
        """Forget a pool; its nodes may go to another that selects them."""
        if self._members.pop(name, None) is not None:
            self._reassign = True

    def set_node(self, node: Node) -> None:
        """Take in a new or changed node (its path is found here)."""
        known = self._nodes.get(node.name)
        health = self._health.get(node.name)
        if health is not None:
            node = replace(node, health=health)
        if known == node:
            return
        self._nodes[node.name] = node
        if known is None or known.labels != node.labels:
            self._assign(node)
        else:
            members = self._members.get(self._home.get(node.name, ""))
            if members is not None and node.name in members.nodes:
                members.nodes[node.name] = replace(node, path=members.nodes[node.name].path)
        self._dirty.add(node.name)

    def set_health(self, name: str, health: Health | None) -> None:
        """Take in what a make's tools say of a node's devices; None: nothing any more."""
        if health is None:
            self._health.pop(name, None)
        else:
            self._health[name] = health
        node = self._nodes.get(name)
        if node is not None:
            self.set_node(replace(node, health=None))

    def drop_node(self, name: str) -> None:
        """Forget a node."""
        if self._nodes.pop(name, None) is not None:
            self._leave(name)

    def claim(self, node: str, claimant: str, claim: Claim) -> None:
        """Count what a claimant (a pod, or a job's placement) asks for as taken on a node."""
        claims = self._claims.setdefault(node, {})
        if claims.get(claimant) != claim:
            claims[claimant] = claim
            self._dirty.add(node)

    def release(self, node: str, claimant: str) -> None:
        """Count them no longer."""
        claims = self._claims.get(node)
        if claims is not None and claims.pop(claimant, None) is not None:
            self._dirty.add(node)
            if not claims:
                del self._claims[node]

    # What a cycle gets

    def snapshot(self) -> dict[str, Pool]:
        """Hand out every pool with a ledger that will not change under the reader."""
        self._settle()
        found = {}
        for name, members in self._members.items():
            assert members.ledger is not None, "settled pools have a ledger"
            facts = members.facts
            members.ledger.trim(_MOST_INDEXES)
            if members.keeper is not None:
                members.keeper.keep(members.ledger)
            found[name] = Pool(
                name=name,
                resource=facts.resource,
                ledger=members.ledger.fork(),
                sizes=facts.sizes_in_gang,
                sizes_alone=facts.sizes_alone,
                defaults=facts.defaults_id,
                problem=facts.problem[1] if facts.problem else None,
            )
        return found

    def pooled(self) -> KeysView[str]:
        """Names of all nodes that belong to a pool; not to be kept."""
        self._settle()
        return self._home.keys()

    def node(self, name: str) -> Node | None:
        """A node as last seen, whichever pool it is in."""
        return self._nodes.get(name)

    def members(self) -> Iterable[Members]:
        """Pools as they stand, by name; not to be changed or kept."""
        self._settle()
        return [self._members[name] for name in sorted(self._members)]

    def unplaced(self, members: Members) -> list[Node]:
        """Nodes of a pool that miss a level."""
        return [self._nodes[name] for name in members.unplaced if name in self._nodes]

    def facts(self, name: str) -> PoolFacts | None:
        """What is known of a pool."""
        members = self._members.get(name)
        return members.facts if members else None

    def usable(self) -> list[PoolFacts]:
        """Pools that can be used, by name."""
        known = (self._members[name].facts for name in sorted(self._members))
        return [facts for facts in known if facts.problem is None]

    def resource(self, name: str) -> str | None:
        """What a device of a pool is called, or was called last: gangs outlive their pool, or its profile's name."""
        return self._resources.get(name)

    def _settle(self) -> None:
        """Bring trees and ledgers up to date with all that was taken in."""
        if self._reassign:
            self._reassign = False
            self._home.clear()
            for members in self._members.values():
                members.nodes, members.unplaced, members.overlapping = {}, set(), {}
                members.ledger = None
            for node in self._nodes.values():
                self._assign(node)
        for members in self._members.values():
            if members.ledger is None:
                levels = tuple(level for level, _ in members.facts.levels)
                tree, nodes = Tree.build(members.facts.name, levels, members.nodes.values())
                numbering = members.facts.numbering
                members.ledger = Ledger(
                    tree,
                    nodes,
                    [self._taken(node.name) for node in nodes],
                    numbering=numbering,
                    held=[self._held(node.name, members.facts) for node in nodes] if numbering else None,
                )
                members.keeper = Keeper(members.facts.spares) if members.facts.spares else None
                self._dirty -= members.nodes.keys()
        for name in self._dirty:
            self._refresh(name)
        self._dirty.clear()

    def _refresh(self, name: str) -> None:
        members = self._members.get(self._home.get(name, ""))
        if members is None or members.ledger is None or name not in members.nodes:
            return
        position = members.ledger.tree.position[name]
        if members.ledger.nodes[position] != members.nodes[name]:
            members.ledger.set_node(position, members.nodes[name])
        members.ledger.set_used(position, self._taken(name), self._held(name, members.facts))

    def _taken(self, node: str) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for claim in self._claims.get(node, {}).values():
            for resource, quantity in claim.requests:
                total[resource] += quantity
        return total

    def _held(self, node: str, facts: PoolFacts) -> int:
        """Mask of the devices taken on a node, where they are chosen by id."""
        mask = 0
        for claim in self._claims.get(node, {}).values() if facts.layout is not None else ():
            wanted = next((amount for name, amount in claim.requests if name == facts.resource), 0)
            if wanted:
                mask |= _devices(claim, wanted, facts)
        return mask

    def _assign(self, node: Node) -> None:
        """Put a node into the oldest pool that selects it."""
        self._leave(node.name)
        for members in sorted(self._members.values(), key=lambda m: (m.facts.created, m.facts.name)):
            name = members.facts.name
            if not members.facts.selects(node.labels):
                continue
            if node.name in self._home:
                members.overlapping[node.name] = self._home[node.name]
                continue
            self._home[node.name] = name
            path = members.facts.path(node.labels)
            if path is None:
                members.unplaced.add(node.name)
                continue
            members.nodes[node.name] = replace(node, path=path)
            members.ledger = None

    def _leave(self, name: str) -> None:
        home = self._members.get(self._home.pop(name, ""))
        if home is not None:
            home.unplaced.discard(name)
            if home.nodes.pop(name, None) is not None:
                home.ledger = None
        for members in self._members.values():
            members.overlapping.pop(name, None)


def _devices(claim: Claim, wanted: int, facts: PoolFacts) -> int:
    """Mask of the devices of one claimant that takes so many."""
    if claim.ids is not None:
        return claim.ids if claim.ids.bit_count() >= wanted else UNKNOWN
    # A pod that says of fewer devices than it has, or of more, does not say which it has.
    ids = told(facts.hand_over, facts.resource, dict(claim.told))
    return ids if ids is not None and ids.bit_count() == wanted else UNKNOWN
