"""Random records of runs: possible ones, with odd ends. Gangs never hold more of a node than it has; all else may be.

Attempts of no time, attempts on nodes that are down, jobs that never start, come late or hold devices from the start.
"""

from berth.core.model import Node
from berth.sim.case import Case, Fleet, Outage
from berth.sim.quality import Result, measure
from berth.sim.record import Life, Run, Spent, Stint
from tests.builders import GPU, node
from tests.properties.dice import Dice
from tests.running import a_task

END = 12
SIZE = 300
"""Bytes that one record is read off."""
_LEVELS = ("spine", "leaf")
_CAUSES = ("Succeeded", "NodeFailure", "", "OwnFailure")


def a_record(dice: Dice) -> Result:
    """A record, its case and its quality."""
    fleets = tuple(_fleet(dice, name) for name in ("a", "b")[: dice.between(1, 2)])
    free = {f.name: [[n.allocatable[GPU]] * END for n in f.nodes] for f in fleets}
    lives = sorted(
        (_life(dice, number, fleets, free) for number in range(dice.below(9))), key=lambda life: life.task.submit
    )
    outages = tuple(_outage(dice, dice.pick(fleets)) for _ in range(dice.below(4)))
    tasks = tuple(life.task for life in lives)
    case = Case("drawn", "berth", fleets, tasks, outages, warm_up=dice.below(3))
    run = Run("drawn", "berth", 0, None, END, tuple(lives), outages, cycles=1)
    return Result(case, run, measure(run, case))


def _fleet(dice: Dice, name: str) -> Fleet:
    nodes: list[Node] = []
    for spine in range(dice.between(1, 3)):
        for leaf in range(dice.between(1, 2)):
            for _ in range(dice.between(1, 3)):
                devices, flaw = dice.pick((4, 4, 4, 2)), dice.below(20)
                own = f"{name}{len(nodes)}"
                nodes.append(node(own, f"s{spine}", f"l{leaf}", devices=devices, ready=flaw != 1, cordoned=flaw == 2))
    return Fleet(name, GPU, _LEVELS, tuple(nodes))


def _life(dice: Dice, number: int, fleets: tuple[Fleet, ...], free: dict[str, list[list[int]]]) -> Life:
    submit, replicas, devices = dice.below(END + 3), dice.between(1, 4), dice.pick((4, 2, 1))
    task = a_task(f"j{number}", replicas, devices=devices, submit=submit, tenant=dice.pick(("", "red", "blue")))
    stints: list[Stint] = []
    at = submit
    for attempt in range(dice.below(4)):
        start = at + dice.below(4)
        end = start + dice.below(6)
        fleet = dice.pick(fleets)
        nodes = _found(free[fleet.name], replicas, devices, range(start, end)) if end <= END else None
        if nodes is None:
            break
        for position in nodes:
            for second in range(start, end):
                free[fleet.name][position][second] -= devices
        cause = dice.pick(_CAUSES)
        stints.append(Stint(attempt + 1, fleet.name, nodes, start, end, cause, _spent(dice, end - start)))
        at = end
    done = bool(stints) and stints[-1].cause == "Succeeded"
    return Life(task, tuple(stints), stints[-1].end if done else None, "Succeeded" if done else "")


def _found(free: list[list[int]], replicas: int, devices: int, span: range) -> tuple[int, ...] | None:
    """The first nodes with room all along."""
    found: list[int] = []
    for position, seconds in enumerate(free):
        least = min((seconds[s] for s in span), default=devices)
        found += [position] * min(least // devices, replicas - len(found))
    return tuple(found) if len(found) == replicas else None


def _spent(dice: Dice, seconds: int) -> Spent:
    shares = [0] * 7
    for _ in range(seconds):
        shares[dice.below(7)] += 1
    return Spent(*shares)


def _outage(dice: Dice, fleet: Fleet) -> Outage:
    start = dice.below(END)
    end = start + dice.below(6)
    return Outage(fleet.name, dice.pick(fleet.nodes).name, start, None if dice.below(4) == 1 else end)
