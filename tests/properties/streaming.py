"""Laws of streams, over a function like `berth.core.cycle.cycle`: whatever happens in whatever order, and whenever the
operator dies, nothing is given twice and everything comes to an end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from berth.core.cycle import cycle
from berth.core.model import Gang, Phase, Policy
from tests.builders import GPU
from tests.properties import referee
from tests.properties.dice import Dice, rolled
from tests.properties.fleets import RINGS, Fleet, roll_fleet
from tests.properties.law import Room
from tests.properties.world import Cycle, World

Move = tuple[str, int, int]
Happen = Callable[[World, int, int], object]


@dataclass(frozen=True, eq=False)
class Stream:
    """What happens to a fleet, one move after the other; `gangs` are the shapes that are submitted."""

    fleet: Fleet
    gangs: tuple[Gang, ...]
    moves: tuple[Move, ...]


_OFTEN: dict[str, Happen] = {
    "decide": lambda world, _, __: world.decide(),
    "write": lambda world, which, order: world.write(which, order),
    "write all": lambda world, _, order: world.write_all(order),
    "decide, write all": lambda world, _, order: world.cycle_through(order),
    "progress": lambda world, which, _: world.progress(which),
    "start": lambda world, _, __: world.start_pods(),
}
_SELDOM: dict[str, Happen] = {
    "crash": lambda world, _, left: world.crash(left),
    "late create": lambda world, which, _: world.late_create(which),
    "suspend": lambda world, which, _: world.change(which, suspended=True),
    "suspend as it ends": lambda world, which, _: world.suspend_as_it_ends(which),
    "resume": lambda world, which, _: world.change(which, suspended=False),
    "edit limit": lambda world, which, limit: world.change(which, backoff_limit=limit % 4),
    "delete job": lambda world, which, _: world.delete_job(which),
    "refuse": lambda world, which, _: world.refuse(which),
    "fail": lambda world, which, _: world.fail(which),
    "fail of dying node": lambda world, which, _: world.fail_of_dying_node(which),
    "disrupt": lambda world, which, _: world.end_pod(which, exit_code=137, disrupted=True),
    "delete pod": lambda world, which, _: world.set_pod(which, deleting=True),
    "terminate": lambda world, which, _: world.end_pod(which, exit_code=143, deleting=True),
    "vanish": lambda world, which, _: world.vanish(which),
    "cordon": lambda world, which, _: world.set_node(which, cordoned=True),
    "uncordon": lambda world, which, _: world.set_node(which, cordoned=False),
    "shrink": lambda world, which, _: world.set_node(which, allocatable={GPU: 4, "pods": 64, "cpu": 32_000}),
    "sicken": lambda world, which, _: world.sicken(which),
    "recover": lambda world, which, _: world.recover(which),
    "out of service": lambda world, which, _: world.put_out_of_service(which),
    "stick": lambda world, which, _: world.stick(which),
    "lose node": lambda world, which, _: world.lose_node(which),
    "restore nodes": lambda world, _, __: world.restore_nodes(),
    "tick": lambda world, _, long: world.wait((1, 5, 20, 60, 300, 700)[long]),
}


_DEADLINES = (None, 100, 900, None, 60, 300)


def roll_stream(dice: Dice) -> Stream:
    """Any stream over an empty fleet of whole nodes, of gangs that would fit into it."""
    made = roll_fleet(dice, least=2, most=6, whole_nodes=True)
    plain = tuple(replace(node, cordoned=False, ready=True, taints=()) for node in made.nodes)
    made = replace(made, nodes=plain, used={node.name: {} for node in plain})
    gangs = []
    for _ in range(dice.between(1, 3)):
        level = dice.pick((None, *made.levels))
        policy = Policy.REQUIRED if level else Policy.PREFERRED
        gang = Gang(dice.between(1, 4), dice.pick((8, 8, 4)), level=level, policy=policy)
        gangs.append(replace(gang, replicas=min(gang.replicas, _most(made, gang))))
    kinds = [*_OFTEN, *_OFTEN, *_OFTEN, *_OFTEN, *_SELDOM, "submit", "edit shape"]
    moves = [(dice.pick(kinds), dice.below(6), dice.below(6)) for _ in range(dice.between(10, 50))]
    if dice.flip():  # devices are chosen by id, and replicas share nodes
        made = replace(made, layout=RINGS)
        gangs = [replace(gang, devices=dice.pick((4, 2, 1))) if gang.devices == 4 else gang for gang in gangs]
    return Stream(made, tuple(gangs), (("submit", 0, 1), ("submit", 1, 2), *moves))


def _happen(world: World, stream: Stream, move: Move) -> None:
    kind, which, number = move
    gang = stream.gangs[number % len(stream.gangs)]
    if kind == "submit":
        world.submit(
            gang,
            priority=which % 3,
            backoff_limit=number % 3,
            ttl=None if number % 3 else 5,
            deadline=_DEADLINES[number],
        )
    elif kind == "edit shape":
        world.change(which, gang=gang)
    else:
        (_OFTEN.get(kind) or _SELDOM[kind])(world, which, number)


def _most(fleet: Fleet, gang: Gang) -> int:
    """The most replicas that the empty fleet holds within one domain of the gang's level."""
    free = referee.free_by_domain(fleet.nodes, [{} for _ in fleet.nodes], gang.demand(fleet.resource))
    level = referee.widest_level(gang, fleet.levels)
    return max(room for path, room in free.items() if len(path) == level)


@lru_cache(maxsize=2)
def _lived(thing: Cycle, stream: Stream) -> World:
    """The world after the stream, come to rest with every job ended."""
    world = World(thing, stream.fleet)
    for move in stream.moves:
        _happen(world, stream, move)
        world.check()
    world.late_creates()
    world.settle(Phase.SUCCEEDED)
    return world


def _assert_no(law: str, world: World) -> None:
    found = [text for name, text in world.faults if name == law]
    assert not found, "; ".join(found)


STREAMING = Room("a stream", cycle, rolled(roll_stream, 200), tries=140)


@STREAMING.law
def no_slot_is_given_twice(thing: Cycle, stream: Stream) -> None:
    _assert_no("slots", _lived(thing, stream))


@STREAMING.law
def no_device_is_given_twice(thing: Cycle, stream: Stream) -> None:
    _assert_no("devices", _lived(thing, stream))


@STREAMING.law
def every_gang_is_whole_or_absent(thing: Cycle, stream: Stream) -> None:
    _assert_no("gangs", _lived(thing, stream))


@STREAMING.law
def a_gang_never_leaves_its_required_level(thing: Cycle, stream: Stream) -> None:
    _assert_no("levels", _lived(thing, stream))


@STREAMING.law
def what_is_done_to_pods_is_on_record_before(thing: Cycle, stream: Stream) -> None:
    _assert_no("order", _lived(thing, stream))


@STREAMING.law
def attempts_only_go_up(thing: Cycle, stream: Stream) -> None:
    _assert_no("records", _lived(thing, stream))


@STREAMING.law
def only_failures_of_its_own_are_charged_to_a_job(thing: Cycle, stream: Stream) -> None:
    _assert_no("charging", _lived(thing, stream))


@STREAMING.law
def a_failure_beside_a_dying_node_is_not_charged(thing: Cycle, stream: Stream) -> None:
    world = World(thing, stream.fleet)
    for move in stream.moves:
        _happen(world, stream, move)
    world.settle(None)
    before = {key: job.record.failures for key, job in world.jobs.items() if job.record.holds is not None}
    world.fail_of_dying_node(stream.moves[-1][1])
    for _ in range(20):
        world.cycle_through(0)
        for name in sorted(world.pods):
            world._progress(name, None)
        world.wait(5)
    _assert_no("charging", world)
    for key, failures in before.items():
        record = world.jobs[key].record
        assert record.outcome is None, f"{key} has failed for good: {record.outcome}"
        assert record.failures == failures, f"{key}: {record.failures} failures, {failures} before"


@STREAMING.law
def a_gang_whose_replicas_have_all_succeeded_has_succeeded(thing: Cycle, stream: Stream) -> None:
    _assert_no("success", _lived(thing, stream))


@STREAMING.law
def time_is_only_waited_for_while_it_is_to_come(thing: Cycle, stream: Stream) -> None:
    _assert_no("waking", _lived(thing, stream))


@STREAMING.law
def a_queue_of_finite_jobs_drains(thing: Cycle, stream: Stream) -> None:
    world = _lived(thing, stream)
    _assert_no("draining", world)
    for key, job in world.jobs.items():
        assert job.record.outcome is not None, f"{key} waits for ever: {world.told.get(key)}"


@STREAMING.law
def a_job_that_fails_every_time_fails_for_good_after_its_limit(thing: Cycle, stream: Stream) -> None:
    world = World(thing, stream.fleet)
    for move in stream.moves:
        _happen(world, stream, move)
    world.write_all()
    world.late_creates()
    unfinished = {
        key: job.record.failures
        for key, job in world.jobs.items()
        if job.record.outcome is None and not world.has_succeeded(job)
    }
    world.settle(Phase.FAILED)
    _assert_no("draining", world)
    for key, failures in unfinished.items():
        job = world.jobs.get(key)
        if job is not None:  # else its time to live is over, too
            assert job.record.outcome is not None, f"{key} is tried for ever"
            assert not job.record.outcome.succeeded, f"{key} has succeeded without its pods"
            limit = job.spec.backoff_limit
            assert limit < job.record.failures <= max(limit, failures) + 1, f"{key}: {job.record.failures} failures"


@STREAMING.law
def at_the_end_nothing_is_left(thing: Cycle, stream: Stream) -> None:
    world = _lived(thing, stream)
    alive = [name for name, known in world.pods.items() if not known.pod.ended]
    assert not alive, f"{alive} run after the end of their jobs"
    outlived = [key for key, job in world.jobs.items() if job.spec.ttl is not None]
    assert not outlived, f"{outlived} are there after their time to live"


@STREAMING.law
def no_pod_of_an_older_attempt_runs_beside_a_newer_one(thing: Cycle, stream: Stream) -> None:
    world = World(thing, stream.fleet)
    for move in stream.moves:
        _happen(world, stream, move)
    world.settle(None)
    world.late_creates()
    world.settle(None)
    for job in world.jobs.values():
        pods = [known.pod for known in world.pods.values() if known.owner == job.spec.uid and not known.pod.ended]
        old = [pod.name for pod in pods if pod.attempt != job.record.attempt]
        assert not old, f"{old} run, the attempt is {job.record.attempt}"
