"""Random fleets, gangs and jobs: small, because a bug that needs twenty nodes shows on six, and odd, because bugs live
where nodes are half taken, names repeat and levels are missing.

Everything is drawn as a few small integers and read off them, which makes examples quick to draw and to shrink.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from berth.core.admission import Pool
from berth.core.model import Demand, Gang, Node, Policy, Taint
from berth.core.slots import Ledger, SlotIndex
from berth.core.topology import Tree
from tests.builders import GPU, node, tolerates

NPU = "huawei.com/Ascend910"
LEVELS = ("spine", "leaf", "rack")
TAINT = Taint("team", "infra", "NoSchedule")
ZONE = "zone"


@dataclass(frozen=True)
class Fleet:
    """Nodes in no order, below `levels`, and what is taken on each of them."""

    name: str
    resource: str
    levels: tuple[str, ...]
    nodes: tuple[Node, ...]
    used: Mapping[str, Mapping[str, int]]
    sizes: tuple[int, ...] | None = None
    problem: str | None = None

    def ledger(self) -> Ledger:
        """A new ledger over the fleet."""
        tree, ordered = Tree.build(self.name, self.levels, self.nodes)
        return Ledger(tree, ordered, [dict(self.used[n.name]) for n in ordered])

    def index(self, demand: Demand) -> SlotIndex:
        """New slot counts for a demand."""
        ledger = self.ledger()
        return SlotIndex(ledger.tree, demand, ledger.nodes, ledger.used)

    def pool(self) -> Pool:
        """A new pool over the fleet."""
        return Pool(self.name, self.resource, self.ledger(), sizes=self.sizes, problem=self.problem)


_QUIRKS = ("",) * 7 + ("cordoned", "not ready", "tainted", "few pods", "half")


def _node(
    fleet: str, resource: str, number: int, levels: int, code: tuple[int, int, int]
) -> tuple[Node, dict[str, int]]:
    """Read a node off three integers: where it hangs, how much of it is taken, and what is odd about it."""
    where, taken, oddity = code
    quirk = _QUIRKS[oddity]
    made = node(
        f"{fleet}-{number}",
        *(f"{LEVELS[level]}-{where >> level & 1}" for level in range(levels)),
        resource=resource,
        devices=4 if quirk == "half" else 8,
        pods=4 if quirk == "few pods" else 64,
        labels={ZONE: "a"} if where % 2 else {},
        taints=(TAINT,) if quirk == "tainted" else (),
        cordoned=quirk == "cordoned",
        ready=quirk != "not ready",
        cpu=32_000,
    )
    # More than eight stand for an empty node, the usual one. A node with half of its devices may be overdrawn.
    used = 0 if taken > 8 else taken
    return made, {resource: used, "cpu": 4_000 * used, "pods": used} if used else {}


@st.composite
def fleets(
    draw: st.DrawFn,
    name: str = "h800",
    resource: str = GPU,
    most: int = 12,
    least: int = 0,
    whole_nodes: bool = False,
) -> Fleet:
    """A fleet of up to `most` nodes under up to three levels; with `whole_nodes` each is free, taken or out."""
    levels = draw(st.integers(0, 3))
    taken = st.sampled_from((8, 9, 9)) if whole_nodes else st.integers(0, 12)
    codes = st.tuples(st.integers(0, 7), taken, st.integers(0, 9 if whole_nodes else 11))
    drawn = draw(st.lists(codes, min_size=least, max_size=most))
    pairs = [_node(name, resource, number, levels, code) for number, code in enumerate(drawn)]
    return Fleet(
        name=name,
        resource=resource,
        levels=LEVELS[:levels],
        nodes=tuple(made for made, _ in pairs),
        used={made.name: used for made, used in pairs},
    )


@st.composite
def demands(draw: st.DrawFn, resource: str = GPU) -> Demand:
    """What one replica of some gang needs."""
    return draw(gangs()).demand(resource)


@st.composite
def gangs(draw: st.DrawFn, pools: tuple[tuple[str, ...], ...] = ((),), most: int = 10) -> Gang:
    """A gang, most of them plain."""
    oddity = draw(st.integers(0, 9))
    level = draw(st.sampled_from((None, "spine", "leaf", "rack", "node")))
    return Gang(
        replicas=draw(st.integers(1, most)),
        devices=draw(st.sampled_from((8, 8, 4, 2, 1))),
        pools=draw(st.sampled_from(pools)),
        level=level,
        policy=draw(st.sampled_from((Policy.REQUIRED, Policy.PREFERRED))) if level else Policy.PREFERRED,
        requests=(("cpu", 16_000),) if oddity == 0 else (),
        selector=((ZONE, "a"),) if oddity == 1 else (),
        tolerations=(tolerates("team", "infra"),) if oddity == 2 else (),
    )
