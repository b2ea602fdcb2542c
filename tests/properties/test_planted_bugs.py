"""Every law catches a bug that was planted for it: a law that nothing breaks proves nothing."""

from typing import Any

import pytest

from tests.properties import bugs
from tests.properties.law import ROOMS, Room
from tests.properties.test_laws import MODULES

PLANTED: dict[str, dict[str, list[Any]]] = {
    "placing": {
        "a gang is placed whole and only on free slots of its domain": [
            bugs.half_a_gang,
            bugs.one_slot_too_many_on_a_node,
        ],
        "room is found wherever there is any": [bugs.more_room_than_needed_wanted],
        "the domain is of the narrowest level with room and has the least there": [
            bugs.widest_level_first,
            bugs.worst_fit,
        ],
        "of equal domains the one with the fullest surroundings is taken": [bugs.first_of_equals],
        "no more children of a domain are used than needed": [bugs.fullest_children_first],
        "what is left goes to the child with the least room for it": [bugs.always_the_emptiest_child],
        "of children with equal room the first are taken": [bugs.last_of_equal_children_first],
        "ranks are in network order": [bugs.ranks_backwards],
        "looking for room takes none": [bugs.takes_while_looking],
    },
    "counting": {
        "incremental counts equal recomputed ones": [
            bugs.TakesWithoutLog,
            bugs.ForksShareIndexes,
            bugs.CompactsAndKeepsItsBase,
            bugs.ReadsTheLogFromTheNextEntry,
        ],
        "forks do not see what each other takes": [bugs.ForksShareUsage],
        "no more is taken on a node than it has room for": [bugs.TakesOneTooMany],
        "nodes kept out are counted by why": [bugs.CountsNoCordons],
    },
    "looking up": {
        "counts add up to those of every path": [bugs.CountsClosedNodes],
        "the least room that is enough is found": [bugs.AsksForMore],
        "domains are listed from the least room that is enough": [bugs.SkipsTheFirst, bugs.ForgetsToMove],
        "the first domain with the most room is found": [bugs.LastOfTheMost],
    },
    "a cycle": {
        "no node gets more than it has or what it does not take": [bugs.forgets_what_it_gave],
        "gangs are admitted whole": [bugs.admits_half_gangs],
        "a required level is kept": [bugs.ignores_the_level],
        "each in its turn gets the narrowest place and is refused only where there is none": [
            bugs.takes_the_widest_place,
            bugs.lowest_priority_first,
        ],
        "no gang waits while an equal one behind it starts": [bugs.lowest_priority_first],
        "a placement says what it is": [bugs.shuffles_ranks],
        "a cycle does not change its snapshot": [bugs.plans_on_the_snapshot],
        "the same input in any order gives the same plan byte for byte": [
            bugs.leaves_ties_to_chance,
            bugs.deletes_in_any_order,
        ],
        "an observer tells and does nothing": [bugs.observer_that_acts],
        "every job hears once unless it is busy or going": [bugs.reaches_into_busy_jobs],
        "the next wake is the first moment at which time changes something": [
            bugs.wakes_for_what_is_past,
            bugs.never_wakes,
        ],
        "a job that did not change is only passed over if nothing new would be said": [bugs.passes_over_who_waits],
        "a second look at the same facts says the same": [bugs.tells_of_slots_that_are_taken_by_now],
    },
    "explaining": {
        "the reason is that of the pool nearest to starting it": [bugs.tells_the_most_hopeless_pool],
        "numbers in a refusal are those of the pool": [bugs.counts_one_too_many, bugs.tells_of_an_empty_pool],
        "nodes that are kept out are all counted": [bugs.tells_one_kind_of_barrier],
        "every nearest change finds room where it says": [
            bugs.proposes_what_it_did_not_try,
            bugs.names_the_domain_that_it_looked_at,
        ],
        "the nearest smaller gang is the largest that could start": [bugs.proposes_nothing],
        "a preferred level is proposed where it helps": [bugs.proposes_nothing],
    },
    "a stream": {
        "no slot is given twice": [bugs.forgets_what_it_gave],
        "every gang is whole or absent": [bugs.admits_half_gangs],
        "a gang never leaves its required level": [bugs.ignores_the_level],
        "what is done to pods is on record before": [bugs.deletes_before_it_is_on_record],
        "attempts only go up": [bugs.counts_attempts_anew],
        "only failures of its own are charged to a job": [
            bugs.blames_jobs_for_disruptions,
            bugs.blames_jobs_for_deletions,
        ],
        "a gang whose replicas have all succeeded has succeeded": [bugs.stops_what_has_succeeded],
        "time is only waited for while it is to come": [bugs.wakes_for_what_is_past],
        "a queue of finite jobs drains": [bugs.passes_over_who_waits, bugs.never_wakes],
        "at the end nothing is left": [bugs.leaves_all_as_it_is_at_the_end],
        "no pod of an older attempt runs beside a newer one": [bugs.leaves_strays],
    },
}

CASES = [
    pytest.param(ROOMS[room], law, bug, id=f"{room}: {law}: {getattr(bug, '__name__', 'spoilt')}")
    for room, laws in PLANTED.items()
    for law, planted in laws.items()
    for bug in planted
]


def test_a_bug_is_planted_for_every_law() -> None:
    """No law stands without a bug that it must catch."""
    assert MODULES
    assert {name: set(room.laws) for name, room in ROOMS.items()} == {name: set(laws) for name, laws in PLANTED.items()}


@pytest.mark.parametrize(("room", "law", "bug"), CASES)
def test_the_law_catches_the_bug(room: Room[Any, Any], law: str, bug: Any) -> None:
    """The law is broken by the planted bug, within as many examples as the heart itself is tried on."""
    with pytest.raises(AssertionError):
        room.uphold(bug, [law], tries=room.tries, shrink=False)
