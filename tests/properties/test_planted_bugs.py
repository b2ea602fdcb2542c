"""Every law catches a bug that was planted for it: a law that nothing breaks proves nothing."""

from typing import Any

import pytest

from tests.properties import bugs_of_cycles as cycles
from tests.properties import bugs_of_layouts as layouts
from tests.properties import bugs_of_places as places
from tests.properties import bugs_of_repairs as repairs
from tests.properties import bugs_of_simulations as simulations
from tests.properties import bugs_of_vacancies as vacancies
from tests.properties.law import ROOMS, Room
from tests.properties.test_laws import MODULES

PLANTED: dict[str, dict[str, list[Any]]] = {
    "placing": {
        "a gang is placed whole and only on free slots of its domain": [
            places.half_a_gang,
            places.one_slot_too_many_on_a_node,
        ],
        "room is found wherever there is any": [places.more_room_than_needed_wanted],
        "the domain is of the narrowest level with room and has the least there": [
            places.widest_level_first,
            places.worst_fit,
        ],
        "of equal domains the one with the fullest surroundings is taken": [places.first_of_equals],
        "no more children of a domain are used than needed": [places.fullest_children_first],
        "what is left goes to the child with the least room for it": [places.always_the_emptiest_child],
        "of children with equal room the first are taken": [places.last_of_equal_children_first],
        "ranks are in network order": [places.ranks_backwards],
        "looking for room takes none": [places.takes_while_looking],
    },
    "counting": {
        "incremental counts equal recomputed ones": [
            places.TakesWithoutLog,
            places.ForksShareIndexes,
            places.CompactsAndKeepsItsBase,
            places.ReadsTheLogFromTheNextEntry,
        ],
        "forks do not see what each other takes": [places.ForksShareUsage],
        "no more is taken on a node than it has room for": [places.TakesOneTooMany],
        "nodes kept out are counted by why": [places.CountsNoCordons, places.RemembersTooLong],
    },
    "grouping": {
        "groups are whole and only on free slots": [places.counts_slots_for_groups],
        "every group of consecutive ranks is in one domain of its level": [places.forgets_groups],
        "room for groups is found wherever there is any and in the narrowest domain": [
            places.wants_all_groups_together
        ],
    },
    "laying out": {
        "what is chosen is free whole and legal": [
            layouts.crosses_rings,
            layouts.takes_the_fullest_ring,
            layouts.forgets_matching_positions,
            layouts.opens_a_fresh_module,
            layouts.takes_one_too_few,
        ],
        "something is chosen wherever anything is legal": [layouts.wants_one_more, layouts.never_crosses],
        "as many fit as can be given one after the other": [layouts.divides, layouts.stops_after_one],
    },
    "numbering": {
        "no device is chosen twice": [layouts.TakesByCount],
        "as many slots are counted as free devices hold": [layouts.TakesByCount, places.TakesWithoutLog],
        "forks do not see which devices each other takes": [layouts.ForksShareDevices],
        "every node without a slot is told with why": [layouts.TrustsCountsAlone],
    },
    "looking up": {
        "counts add up to those of every path": [places.CountsClosedNodes],
        "the least room that is enough is found": [places.AsksForMore],
        "domains are listed from the least room that is enough": [places.SkipsTheFirst, places.ForgetsToMove],
        "the first domain with the most room is found": [places.LastOfTheMost],
    },
    "a cycle": {
        "no node gets more than it has or what it does not take": [cycles.forgets_what_it_gave],
        "gangs are admitted whole": [cycles.admits_half_gangs],
        "a required level is kept": [cycles.ignores_the_level],
        "each in its turn gets the narrowest place and is refused only where there is none": [
            cycles.takes_the_widest_place,
            cycles.lowest_priority_first,
        ],
        "no gang waits while an equal one behind it starts": [cycles.lowest_priority_first],
        "a placement says what it is": [cycles.shuffles_ranks],
        "a cycle does not change its snapshot": [cycles.plans_on_the_snapshot],
        "the same input in any order gives the same plan byte for byte": [
            cycles.leaves_ties_to_chance,
            cycles.deletes_in_any_order,
        ],
        "an observer tells and does nothing": [cycles.observer_that_acts],
        "every job hears once unless it is busy or going": [cycles.reaches_into_busy_jobs],
        "the next wake is the first moment at which time changes something": [
            cycles.wakes_for_what_is_past,
            cycles.never_wakes,
            cycles.forgets_the_history_of_who_waits,
        ],
        "a job that did not change is only passed over if nothing new would be said": [cycles.passes_over_who_waits],
        "a second look at the same facts says the same": [cycles.tells_of_slots_that_are_taken_by_now],
    },
    "backfilling": {
        "nobody starts later than expected without those behind": [
            cycles.lets_pass_whoever_fits,
            cycles.keeps_only_one_place,
        ],
        "no slot is given twice": [cycles.plans_with_what_is_free_later],
        "nobody waits longer for a better place than it may": [cycles.waits_for_ever_for_a_better_place],
    },
    "vacancies": {
        "room is seen where a domain has it at every moment": [
            vacancies.ForgetsWhoComesLater,
            vacancies.CountsFragments,
            vacancies.CountsWhoHasGone,
        ],
        "the first time is that from which on somebody has gone": [
            vacancies.WaitsForOneMore,
            vacancies.AsksTheFirstDomain,
        ],
        "more room comes at the times that are told and at no other": [
            vacancies.TellsEveryEnd,
            vacancies.TellsOfTheFirstDomain,
        ],
        "what is brought up to date is what would be counted anew": [vacancies.CountsOnce],
    },
    "explaining": {
        "the reason is that of the pool nearest to starting it": [cycles.tells_the_most_hopeless_pool],
        "numbers in a refusal are those of the pool": [cycles.counts_one_too_many, cycles.tells_of_an_empty_pool],
        "nodes that are kept out are all counted": [cycles.tells_one_kind_of_barrier],
        "every nearest change finds room where it says": [
            cycles.proposes_what_it_did_not_try,
            cycles.names_the_domain_that_it_looked_at,
        ],
        "the nearest smaller gang is the largest that could start": [cycles.proposes_nothing],
        "a preferred level is proposed where it helps": [cycles.proposes_nothing],
    },
    "a repair": {
        "survivors keep their nodes": [repairs.places_the_gang_anew],
        "nothing is given twice or on a bad node": [repairs.keeps_bad_nodes, repairs.forgets_what_others_took],
        "where the gang is and where it was is taken": [repairs.forgets_what_it_took, repairs.frees_what_it_leaves],
        "a required level is kept in repair": [repairs.ignores_the_level_in_repair],
        "the domain around the survivors is the narrowest with room": [repairs.takes_the_widest_domain],
        "a gang is repaired wherever it can be": [repairs.gives_up_at_once],
        "a repair says where the gang is": [repairs.tells_of_one_replica],
        "a repair that is tried changes nothing": [repairs.plans_on_the_pool],
    },
    "a simulation": {
        "what is used down and free adds up to all there is": [
            simulations.gives_devices_twice,
            simulations.forgets_to_restore,
        ],
        "what an attempt spent adds up to its length": [simulations.forgets_to_restore],
        "who succeeds has done its work once": [simulations.saves_what_was_not_written, simulations.counts_lost_work],
        "every task has one course": [simulations.forgets_who_waits],
        "nothing works on a node that is down": [simulations.works_on_where_a_node_is_down],
        "a gang keeps to its pools and its level": [simulations.ignores_required_levels],
        "the same case gives the same record": [simulations.runs_otherwise_each_time],
        "what a cycle is not handed does not matter": [
            simulations.hands_too_little_to_a_cycle,
            simulations.forgets_who_holds_devices,
        ],
        "a run that ends early tells the beginning of the whole one": [simulations.runs_otherwise_each_time],
    },
    "a stream": {
        "no slot is given twice": [cycles.forgets_what_it_gave],
        "no device is given twice": [cycles.gives_the_first_devices],
        "every gang is whole or absent": [cycles.admits_half_gangs],
        "a gang never leaves its required level": [cycles.ignores_the_level],
        "what is done to pods is on record before": [cycles.deletes_before_it_is_on_record],
        "attempts only go up": [cycles.counts_attempts_anew],
        "only failures of its own are charged to a job": [
            cycles.blames_jobs_for_disruptions,
            cycles.blames_jobs_for_deletions,
            cycles.judges_at_once,
        ],
        "a failure beside a dying node is not charged": [cycles.takes_no_charge_back, cycles.judges_at_once],
        "a gang whose replicas have all succeeded has succeeded": [
            cycles.stops_what_has_succeeded,
            cycles.forgets_who_is_done,
        ],
        "time is only waited for while it is to come": [cycles.wakes_for_what_is_past],
        "a queue of finite jobs drains": [cycles.passes_over_who_waits, cycles.never_wakes],
        "a job that fails every time fails for good after its limit": [cycles.blames_nobody, cycles.tries_once_more],
        "at the end nothing is left": [cycles.leaves_all_as_it_is_at_the_end],
        "no pod of an older attempt runs beside a newer one": [cycles.leaves_strays],
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
