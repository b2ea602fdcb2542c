"""Dumps of cycles: what is said about one that cannot be read, what is not in it, and that large ones are quick."""

import json
import re
import time
from typing import Any

import pytest
from click.testing import CliRunner

from berth import __version__
from berth.__main__ import main
from berth.app.replay import difference
from berth.cluster import dump
from berth.cluster.codec import DumpError
from berth.core.admission import Pool
from berth.core.cycle import Snapshot, cycle
from berth.core.layout import mask_of
from berth.core.numbering import Numbering
from berth.core.plan import Plan
from berth.core.slots import Ledger
from berth.core.topology import Tree
from e2e.bench.queue import NOW as LATER
from e2e.bench.queue import a_queue
from tests.builders import a_gang, a_job, a_pod, by_name, drawn, node
from tests.properties.laying import LAYOUTS

NOW = 1_795_309_200
NPU = "huawei.com/Ascend910"


def a_dump() -> dump.Dump:
    """One job runs until 02:00, one needs all nodes, a long one would be in its way."""
    pods = [a_pod(rank, job="run") for rank in range(2)]
    run = a_job("run", a_gang(2)).placed("n2", "n3", at=NOW - 3_600, created=True).recorded(started_at=NOW - 3_500)
    jobs = (
        run.but(max_duration=7_200).with_pods(*pods),
        a_job("big", a_gang(4)).but(max_duration=3_600),
        a_job("late", a_gang(1, cpu=4_000)).but(priority=-1),
        a_job("small", a_gang(1)).but(max_duration=600, priority=-2),
    )
    snapshot = Snapshot(tuple(job.built for job in jobs), by_name(drawn("spine-0\n  leaf-0  8 8 0 0")))
    return dump.Dump(snapshot, NOW, cycle(snapshot, NOW))


DATA = json.loads(dump.write(a_dump()))


def _broken(*path: str | int, put: Any = None, drop: bool = False) -> bytes:
    data = json.loads(json.dumps(DATA))
    at = data
    for step in path[:-1]:
        at = at[step]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = put
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(b"{", "is not JSON: ", id="cut off"),
        pytest.param(b"\xff\xfe", "is not JSON: ", id="not a text"),
        pytest.param(b"[]", "is not a dump of Berth: berth_dump is missing", id="another list"),
        pytest.param(b"{}", "is not a dump of Berth: berth_dump is missing", id="another object"),
        pytest.param(
            _broken("berth_dump", put=2),
            f"berth_dump: is 2, made by Berth {__version__}; this is Berth {__version__}, which reads 1: "
            "use the version that made it",
            id="of another version",
        ),
        pytest.param(_broken("plan", drop=True), "plan: is missing", id="half of it"),
        pytest.param(_broken("now", put="1"), "now: an integer was expected, there is '1'", id="a time"),
        pytest.param(_broken("snapshot", put=[]), "snapshot: an object was expected, there is []", id="a list"),
        pytest.param(
            _broken("snapshot", "jobs", 1, "gang", "replicas", put=True),
            "snapshot.jobs[1].gang.replicas: an integer was expected, there is True",
            id="a number that is none",
        ),
        pytest.param(
            _broken("snapshot", "jobs", 1, "uid", drop=True), "snapshot.jobs[1].uid: is missing", id="a field less"
        ),
        pytest.param(
            _broken("snapshot", "jobs", 1, "gang", "colour", put="red"),
            "snapshot.jobs[1].gang.colour: there is no such field; there are ",
            id="a field more",
        ),
        pytest.param(
            _broken("snapshot", "mode", put="Asleep"),
            "snapshot.mode: one of Active, Observe was expected, there is 'Asleep'",
            id="a word that is none of the set",
        ),
        pytest.param(
            _broken("snapshot", "jobs", 0, "key", put=["team"]),
            "snapshot.jobs[0].key: a list of 2 was expected, there is ['team']",
            id="half of a key",
        ),
        pytest.param(
            _broken("snapshot", "pools", "h800", "ledger", "used", put=[]),
            "snapshot.pools[h800].ledger.used: has 0 entries for 4 nodes",
            id="nodes without what is taken",
        ),
        pytest.param(
            _broken("snapshot", "pools", "h800", "ledger", "nodes", 0, "path", put=[]),
            "snapshot.pools[h800].ledger.nodes: a path has not one domain for each of the 2 levels",
            id="a node without its domains",
        ),
        pytest.param(
            _broken("snapshot", "pools", "h800", "ledger", "nodes", 0, "name", put="n9"),
            "snapshot.pools[h800].ledger.nodes: are not in network order",
            id="nodes in another order",
        ),
    ],
)
def test_a_damaged_dump_is_told_with_the_place_and_what_was_expected(text: bytes, told: str) -> None:
    """Nothing is guessed, and no traceback is shown."""
    with pytest.raises(DumpError, match=re.escape(told)):
        dump.read(text)


def test_a_dump_of_ten_thousand_nodes_takes_seconds() -> None:
    """To write, to read and to run again: processor time, with as much to spare as a busy machine needs."""
    began = time.thread_time()
    snapshot = a_queue(10_000)
    built = time.thread_time()
    saved = dump.read(dump.write(dump.Dump(snapshot, LATER, Plan(()))))
    assert time.thread_time() - built < 20, f"building alone took {built - began:.1f} s"
    assert saved.snapshot.jobs == snapshot.jobs
    assert len(saved.snapshot.pools["h800"].ledger.nodes) == 10_000


def _replay(tmp_path: Any, *options: str, text: bytes | None = None) -> tuple[int, str]:
    path = tmp_path / "cycle.json"
    path.write_bytes(dump.write(a_dump()) if text is None else text)
    result = CliRunner().invoke(main, ["replay", str(path), *options])
    return result.exit_code, result.output


def test_a_replay_prints_the_plan_and_that_it_is_the_same(tmp_path: Any) -> None:
    """One line for each decision."""
    code, output = _replay(tmp_path)
    assert (code, output.splitlines()) == (
        0,
        [
            f"at 2026-11-22T01:00:00Z, mode Active: 4 jobs, 1 pool, 4 nodes; made by Berth {__version__}",
            "report team/run (Running): 2 replicas on 2 nodes under spine-0/leaf-0 of pool h800",
            "admit team/small (Starting): attempt 1: 1 replica on node n0 of pool h800",
            (
                "report team/big (Pending): InsufficientDevices: needs 4 nodes; 1 of 4 is free in pool h800 "
                "(3 of 4 nodes: 0 of 8 nvidia.com/gpu free); 1 more comes free when team/small ends, "
                "expected at 2026-11-22T01:10Z; may start at 2026-11-22T02:00Z if running jobs end by their maxDuration"
            ),
            ("report team/late (Pending): TooLarge: needs 1 node; pool h800 has 0 (4 of 4 nodes: 0 of 4 cpu)"),
            "the same plan as the operator's",
        ],
    )


def test_one_job_is_explained(tmp_path: Any) -> None:
    """What it asks for, why it waits, when it may start, and what would help."""
    code, output = _replay(tmp_path, "--explain", "team/big")
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "team/big: 4 replicas of 8 devices, any pool, maxDuration 1h"
    assert lines[1].startswith("report team/big (Pending): InsufficientDevices: needs 4 nodes; ")
    assert lines[2:] == [
        "position 1",
        "estimated start 2026-11-22T02:00:00Z",
        "nearest: replicas 1: could start now on node n1",
    ]


def test_a_job_of_which_nothing_is_decided_is_where_it_is(tmp_path: Any) -> None:
    """It was not touched: the cycle passed it over."""
    code, output = _replay(tmp_path, "--explain", "team/run", text=_broken("snapshot", "touched", put=[]))
    assert (code, output.splitlines()[1]) == (1, "2 replicas on 2 nodes under spine-0/leaf-0 of pool h800")


def test_a_job_that_is_not_there_is_told_with_those_that_are(tmp_path: Any) -> None:
    """By namespace and name."""
    code, output = _replay(tmp_path, "--explain", "team/none")
    assert code == 1
    assert "there is no job team/none; there are team/big, team/late, team/run, team/small" in output


def test_a_file_that_is_no_dump_ends_with_one_sentence(tmp_path: Any) -> None:
    """With the file's name."""
    code, output = _replay(tmp_path, text=b"{}")
    assert code == 1
    assert re.fullmatch(r"Error: \S+cycle.json: is not a dump of Berth: .*\n", output)


def test_another_plan_is_told_with_the_first_difference(tmp_path: Any) -> None:
    """And the command fails, so that a script notices."""
    code, output = _replay(tmp_path, text=_broken("snapshot", "jobs", 3, "gang", "replicas", put=2))
    assert code == 1
    assert output.splitlines()[-1].startswith("NOT the same plan: team/big: the operator decided: ")
    plan = a_dump().plan
    assert difference(plan, Plan(plan.decisions, 7)) == (
        "NOT the same plan: the operator would wake at 1795312800, here it is 7"
    )
    assert difference(plan, Plan(plan.decisions[::-1], plan.wake_at)) == (
        "NOT the same plan: the order of the decisions is another"
    )
    assert "here: nothing" in difference(plan, Plan(plan.decisions[1:], plan.wake_at))


def test_devices_that_are_chosen_by_id_are_dumped_with_their_layout() -> None:
    """Which are taken, and by what rule others are chosen: a replay chooses the same."""
    tree, nodes = Tree.build("a910", (), [node("n0", devices=8, resource=NPU)])
    rings = Numbering(NPU, LAYOUTS["ascend-910a-8"])
    ledger = Ledger(tree, nodes, [{NPU: 1}], numbering=rings, held=[mask_of((4,))])
    pools = {"a910": Pool("a910", NPU, ledger, sizes=(1, 2, 4, 8), sizes_alone=(1, 2, 4, 8))}
    snapshot = Snapshot((a_job("train", a_gang(1, 4)).built,), pools)
    plan = cycle(snapshot, NOW)
    saved = dump.read(dump.write(dump.Dump(snapshot, NOW, plan)))
    assert (saved.snapshot.pools["a910"].ledger.held, saved.snapshot.pools["a910"].ledger.numbering) == ([16], rings)
    assert saved.plan == plan == cycle(saved.snapshot, NOW)
    placement = plan.decisions[0].record.placement
    assert placement is not None
    assert placement.devices == (mask_of((0, 1, 2, 3)),)
