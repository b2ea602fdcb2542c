"""Laws of vacancies, over a class like `berth.core.vacancies.Vacancies`: all is counted again, by the second."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from berth.core.admission import Stay
from berth.core.calendar import Calendar
from berth.core.model import JobKey
from berth.core.slots import Ledger
from berth.core.vacancies import Takings, Vacancies
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import Fleet, roll_fleet
from tests.properties.law import Room

LAST = 12
"""Everybody has gone by this second."""


@dataclass(frozen=True)
class Prospect:
    """Who asks, and beside whom. `stays`: who gives back what of it is taken now; `kept`: what others will take."""

    fleet: Fleet
    ledger: Ledger
    stays: tuple[Stay, ...]
    kept: tuple[tuple[int, int, int, int], ...]
    replicas: int
    devices: int
    level: int

    def vacancies(self, kind: type[Vacancies]) -> Vacancies:
        """What is counted without who comes."""
        found = kind(self.fleet.pool())
        found.bring(self.fleet.pool(), Calendar(self.stays), self.ledger.used)
        return found

    def once_one_has_left(self, number: int) -> "Prospect":
        """The same after one of the gangs has ended early."""
        gone, fleet = self.stays[number], self.fleet
        ledger = Ledger(self.ledger.tree, self.ledger.nodes, self.ledger.used.copy())
        for position, amounts, _ in gone.takes:
            ledger.give_back(position, amounts.items())
        return replace(self, fleet=fleet, ledger=ledger, stays=tuple(stay for stay in self.stays if stay is not gone))

    def takings(self) -> Takings:
        """Who comes."""
        found: Takings = {}
        for position, devices, start, end in self.kept:
            found.setdefault(position, []).append((devices, start, end))
        return found

    def room(self, at: int, until: int) -> list[int]:
        """Slots of each domain of the level at every moment from `at` to `until`, each node at its fullest."""
        ledger, name = self.ledger, self.fleet.resource
        found = [0] * len(ledger.tree.domains[self.level])
        for position, node in enumerate(ledger.nodes):
            used = ledger.used[position].get(name, 0)
            least = min(self._free(position, node.allocatable[name], used, now) for now in range(at, until))
            found[ledger.tree.above(position)[self.level]] += max(0, least) // self.devices
        return found

    def _free(self, position: int, whole: int, used: int, now: int) -> int:
        for stay in self.stays:
            if stay.end <= now:
                used -= sum(amounts[self.fleet.resource] for where, amounts, _ in stay.takes if where == position)
        free = max(0, whole - max(0, used))
        return free - sum(d for where, d, start, end in self.kept if where == position and start <= now < end)

    def windows(self) -> Iterator[tuple[int, int]]:
        """Times to ask about."""
        return ((at, at + length) for at in range(LAST) for length in (1, 4, LAST))


def roll_prospect(dice: Dice) -> Prospect:
    """Some of what is taken of a fleet is given back by three gangs, and three places are kept on it."""
    fleet = roll_fleet(dice, least=1, most=5)
    ledger = fleet.ledger()
    left = [used.get(fleet.resource, 0) for used in ledger.used]
    stays = []
    for number, end in enumerate(sorted(dice.between(1, LAST - 1) for _ in range(3))):
        takes = []
        for position, devices in enumerate(left):
            amount = dice.below(devices + 1)
            left[position] -= amount
            takes += [(position, {fleet.resource: amount}, 0)] if amount else []
        stays.append(Stay(end, JobKey("ns", f"job-{number}"), fleet.name, tuple(takes)))
    kept = []
    for _ in range(dice.between(0, 3)):
        start = dice.below(LAST)
        kept.append((dice.below(len(left)), dice.between(1, 8), start, start + dice.between(1, 6)))
    return Prospect(
        fleet=fleet,
        ledger=ledger,
        stays=tuple(stays),
        kept=tuple(kept),
        replicas=dice.between(1, 6),
        devices=dice.pick((1, 2, 4, 8)),
        level=dice.below(len(ledger.tree.levels)),
    )


VACATING = Room("vacancies", Vacancies, rolled(roll_prospect, 96), tries=200)


@VACATING.law
def room_is_seen_where_a_domain_has_it_at_every_moment(thing: type[Vacancies], prospect: Prospect) -> None:
    vacant, takings = prospect.vacancies(thing), prospect.takings()
    for at, until in prospect.windows():
        holds = max(prospect.room(at, until)) >= prospect.replicas
        said = vacant.may_hold(prospect.replicas, prospect.devices, prospect.level, at, until, takings)
        assert said == holds, f"from {at} to {until}"


@VACATING.law
def the_first_time_is_that_from_which_on_somebody_has_gone(thing: type[Vacancies], prospect: Prospect) -> None:
    alone = replace(prospect, kept=())
    first = prospect.vacancies(thing).first(prospect.replicas, prospect.devices, prospect.level)
    times = [at for at in range(LAST) if max(alone.room(at, at + 1)) >= prospect.replicas]
    assert (max(0, first) if first is not None else None) == min(times, default=None)


@VACATING.law
def more_room_comes_at_the_times_that_are_told_and_at_no_other(thing: type[Vacancies], prospect: Prospect) -> None:
    alone = replace(prospect, kept=())
    rooms = [alone.room(at, at + 1) for at in range(LAST)]
    grows = [at for at in range(1, LAST) if rooms[at] != rooms[at - 1]]
    assert list(prospect.vacancies(thing).grows(prospect.devices, prospect.level)) == grows


@VACATING.law
def what_is_brought_up_to_date_is_what_would_be_counted_anew(thing: type[Vacancies], prospect: Prospect) -> None:
    calendar, kept = Calendar(prospect.stays), thing(prospect.fleet.pool())
    kept.bring(prospect.fleet.pool(), calendar, prospect.ledger.used)
    now = prospect
    while now.stays:
        assert list(kept.grows(1, prospect.level)) == list(now.vacancies(thing).grows(1, prospect.level))
        calendar = calendar.fork()
        calendar.remove(now.stays[-1])
        now = now.once_one_has_left(len(now.stays) - 1)
        kept.bring(prospect.fleet.pool(), calendar, now.ledger.used)
        anew, asked = now.vacancies(thing), (now.replicas, now.devices, now.level)
        assert kept.first(*asked) == anew.first(*asked)
        assert list(kept.grows(*asked[1:])) == list(anew.grows(*asked[1:]))
        for at, until in now.windows():
            assert kept.may_hold(*asked, at, until, now.takings()) == anew.may_hold(*asked, at, until, now.takings())
