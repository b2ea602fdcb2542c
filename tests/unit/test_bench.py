"""The benchmarks: figures read as promised, and the rule of a peer that is timed beside ours is a working one."""

import json

import pytest
from click.testing import CliRunner

from berth.core.admission import find
from e2e.bench import fleets
from e2e.bench.__main__ import main
from e2e.bench.decisions import GANG
from e2e.bench.figures import BENCHES, Figure, Times
from e2e.bench.kueue_tas import TopologySnapshot


def test_a_figure_is_one_line_of_json() -> None:
    """Name, value, unit, goal and conditions, in this order."""
    line = Figure("place_10000", 0.5, "ms", "at most 1 ms", {"nodes": 10_000}).line()
    assert list(json.loads(line)) == ["name", "value", "unit", "goal", "conditions"]
    assert "\n" not in line


def test_times_are_told_to_three_digits() -> None:
    """More would be noise."""
    assert Times((0.001234567,) * 3).median_ms == 1.23
    assert Times((0.0000123, 0.0000123, 5.0)).median_ms == 0.0123


def test_an_unknown_figure_is_refused_with_those_that_there_are() -> None:
    """The name given and the names known."""
    result = CliRunner().invoke(main, ["--only", "place_1"])
    assert result.exit_code == 2
    assert "place_1" in result.output
    assert all(name in result.output for name in BENCHES)


@pytest.mark.parametrize("taken", [0.0, 0.5, 0.9])
def test_the_peers_rule_places_what_can_be_placed(taken: float) -> None:
    """It finds room where we do, whole gangs within one rack, in a rack with as little room as ours."""
    pool = fleets.pool(640, taken)
    nodes, used = pool.ledger.nodes, pool.ledger.used
    snapshot = TopologySnapshot([node.path for node in nodes], [node.allocatable for node in nodes])
    for position, there in enumerate(used):
        snapshot.usage[position] = dict(there)
    found = snapshot.assign(GANG.replicas, dict(GANG.demand(pool.resource).requests), level=2)
    berth = find(GANG, {pool.name: pool})
    assert (found is None) == (berth is None)
    if found is not None and berth is not None:
        assert sum(pods for _, pods in found) == GANG.replicas
        assert all(not used[position] for position, _ in found)
        racks = {nodes[position].path for position, _ in found}
        assert len(racks) == 1
        ours = nodes[berth.fit.counts[0][0]].path
        free = {
            path: sum(1 for n, u in zip(nodes, used, strict=True) if n.path == path and not u)
            for path in (*racks, ours)
        }
        assert len(set(free.values())) == 1


def test_a_pool_of_a_size_is_always_the_same() -> None:
    """What is measured today is measured tomorrow."""
    one, other = fleets.pool(64, 0.5), fleets.pool(64, 0.5)
    assert one.ledger.used == other.ledger.used
    assert 16 < sum(1 for used in one.ledger.used if used) < 48
