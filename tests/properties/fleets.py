"""Random fleets and gangs: small, because a bug that needs twenty nodes shows on six, and odd, because bugs live where
nodes are half taken, names repeat and levels are missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from berth.core.admission import Pool
from berth.core.layout import Choice, Layout
from berth.core.model import Demand, Gang, Node, Policy, Taint
from berth.core.numbering import Numbering
from berth.core.slots import Ledger, SlotIndex
from berth.core.topology import Tree
from tests.builders import GPU, node, tolerates
from tests.properties.dice import Dice

NPU = "huawei.com/Ascend910"
LEVELS = ("spine", "leaf", "rack")
TAINT = Taint("team", "infra", "NoSchedule")
ZONE = "zone"
RINGS = Layout(8, Choice.FITTING_GROUP, ((0, 1, 2, 3), (4, 5, 6, 7)), (1, 2, 4))


@dataclass(frozen=True)
class Fleet:
    """Nodes in no order, below `levels`, and what is taken on each of them.

    With a `layout` devices are chosen by id; then nothing is taken at first.
    """

    name: str
    resource: str
    levels: tuple[str, ...]
    nodes: tuple[Node, ...]
    used: Mapping[str, Mapping[str, int]]
    sizes: tuple[int, ...] | None = None
    problem: str | None = None
    layout: Layout | None = None

    @property
    def numbering(self) -> Numbering | None:
        """How its devices are chosen by id."""
        return Numbering(self.resource, self.layout) if self.layout is not None else None

    def ledger(self) -> Ledger:
        """A new ledger over the fleet."""
        tree, ordered = Tree.build(self.name, self.levels, self.nodes)
        return Ledger(tree, ordered, [dict(self.used[n.name]) for n in ordered], numbering=self.numbering)

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


def roll_fleet(
    dice: Dice,
    name: str = "h800",
    resource: str = GPU,
    *,
    least: int = 0,
    most: int = 12,
    whole_nodes: bool = False,
) -> Fleet:
    """A fleet under up to three levels; with `whole_nodes` each node is free, taken or out."""
    levels = dice.below(4)
    pairs = []
    for number in range(dice.between(least, most)):
        taken = dice.pick((9, 8)) if whole_nodes else dice.below(13)
        code = (dice.below(8), taken, dice.below(10 if whole_nodes else 12))
        pairs.append(_node(name, resource, number, levels, code))
    return Fleet(
        name=name,
        resource=resource,
        levels=LEVELS[:levels],
        nodes=tuple(made for made, _ in pairs),
        used={made.name: used for made, used in pairs},
    )


def roll_gang(
    dice: Dice,
    pools: tuple[tuple[str, ...], ...] = ((),),
    most: int = 10,
    levels: tuple[str, ...] = LEVELS,
) -> Gang:
    """A gang, most of them plain; `levels` are those that it may ask for."""
    oddity = dice.below(10)
    level = dice.pick((None, None, *levels, "node"))
    return Gang(
        replicas=dice.between(1, most),
        devices=dice.pick((8, 4, 2, 1)),
        pools=dice.pick(pools),
        level=level,
        policy=dice.pick((Policy.REQUIRED, Policy.PREFERRED)) if level else Policy.PREFERRED,
        requests=(("cpu", 16_000),) if oddity == 9 else (),
        selector=((ZONE, "a"),) if oddity == 8 else (),
        tolerations=(tolerates("team", "infra"),) if oddity == 7 else (),
    )


def roll_demand(dice: Dice) -> Demand:
    """What one replica of some gang needs."""
    return roll_gang(dice).demand(GPU)
