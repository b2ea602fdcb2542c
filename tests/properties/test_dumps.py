"""What a cycle saw and decided is the same after it was written and read, and decides the same again."""

import json
from dataclasses import replace

from hypothesis import given, settings

from berth.cluster import dump
from berth.cluster.codec import decode, encode
from berth.core.cycle import Snapshot, cycle
from tests.properties.backfilling import Queue, roll_queue
from tests.properties.dice import rolled
from tests.properties.law import tries
from tests.properties.situations import NOW, Situation, roll_situation


def _assert_same(snapshot: Snapshot, again: Snapshot) -> None:
    """Equal in all parts; ledgers are compared by what is in them."""
    assert replace(again, pools={}) == replace(snapshot, pools={})
    assert list(again.pools) == list(snapshot.pools)
    for name, pool in snapshot.pools.items():
        other = again.pools[name]
        assert replace(other, ledger=pool.ledger) == pool
        assert other.ledger.tree == pool.ledger.tree
        assert other.ledger.nodes == pool.ledger.nodes
        assert other.ledger.used == pool.ledger.used
        assert (other.ledger.held, other.ledger.numbering) == (pool.ledger.held, pool.ledger.numbering)


def _through_a_file(snapshot: Snapshot, now: int) -> None:
    plan = cycle(snapshot, now)
    saved = dump.read(dump.write(dump.Dump(snapshot, now, plan, "1.2.3")))
    _assert_same(snapshot, saved.snapshot)
    assert (saved.now, saved.plan, saved.made_by) == (now, plan, "1.2.3")
    assert cycle(saved.snapshot, saved.now) == plan


@given(rolled(roll_situation, 128))
@settings(max_examples=tries(60), derandomize=True, database=None, deadline=None)
def test_any_situation_is_read_as_it_was_written_and_decided_as_it_was(situation: Situation) -> None:
    """Jobs in every stage, odd nodes, some changed since the last cycle."""
    snapshot = situation.snapshot()
    touched = frozenset(situation.jobs[number].key for number in situation.touched)
    _through_a_file(replace(snapshot, touched=touched, epoch=7), NOW)


@given(rolled(roll_queue, 96))
@settings(max_examples=tries(30), derandomize=True, database=None, deadline=None)
def test_a_queue_with_reservations_is_decided_as_it_was(queue: Queue) -> None:
    """Estimates, positions and changes are in the plan as well."""
    pool = queue.fleet.pool()
    _through_a_file(Snapshot(queue.jobs, {pool.name: pool}), 0)


@given(rolled(roll_situation, 128))
@settings(max_examples=tries(30), derandomize=True, database=None, deadline=None)
def test_what_is_written_has_json_types_only_and_is_written_the_same_again(situation: Situation) -> None:
    """Byte for byte, so that dumps can be compared."""
    snapshot = situation.snapshot()
    first = json.dumps(encode(snapshot))
    assert json.dumps(encode(decode(Snapshot, json.loads(first)))) == first
