"""Backfill where devices are chosen by id: which come free with whom, and that nobody gets what another one has."""

from dataclasses import replace

from berth.core.admission import Pool
from berth.core.cycle import Snapshot, cycle
from berth.core.layout import ids_of, mask_of
from berth.core.model import Job
from berth.core.numbering import Numbering
from berth.core.plan import Plan, Verb
from berth.core.slots import Ledger
from berth.core.stays import Backfill
from berth.core.topology import Tree
from tests.builders import JobBuilder, a_gang, a_job, a_pod, node
from tests.properties.laying import LAYOUTS

NOW = 1_000
NPU = "huawei.com/Ascend910"
RINGS = Numbering(NPU, LAYOUTS["ascend-910a-8"])
FIRST_RING = (0, 1, 2, 3)


def _running(left: int) -> Job:
    """One replica with the first ring of the only node, for `left` seconds more."""
    job = a_job("run", a_gang(1, 4)).placed("n0", at=500, created=True).with_pods(a_pod(0, job="run")).built
    assert job.record.placement is not None
    placement = replace(job.record.placement, pool="a910", devices=(mask_of(FIRST_RING),))
    return replace(job, record=replace(job.record, placement=placement), max_duration=NOW - 500 + left)


def _waits(name: str, devices: int, seconds: int, replicas: int = 1) -> JobBuilder:
    return a_job(name, a_gang(replicas, devices)).but(max_duration=seconds)


def _plan(*waiting: JobBuilder) -> Plan:
    tree, nodes = Tree.build("a910", (), [node("n0", devices=8, resource=NPU)])
    ledger = Ledger(tree, nodes, [{NPU: 4, "pods": 1}], numbering=RINGS, held=[mask_of(FIRST_RING)])
    pool = Pool("a910", NPU, ledger, sizes=(1, 2, 4, 8), sizes_alone=(1, 2, 4, 8))
    jobs = (_running(100), *(job.built for job in waiting))
    return cycle(Snapshot(jobs, {"a910": pool}, backfill=Backfill(8, 1_000)), NOW)


def _started(plan: Plan) -> dict[str, list[int]]:
    """Devices of the jobs that start, by name."""
    return {
        d.key.name: [device for mask in d.record.placement.devices for device in ids_of(mask)]
        for d in plan.decisions
        if d.verb is Verb.ADMIT and d.record.placement is not None
    }


def test_a_whole_node_is_expected_when_its_rings_come_free() -> None:
    """Which devices a running gang gives back is known, so the node is whole again when it ends."""
    plan = _plan(_waits("a", 8, 50))
    pending = plan.decisions[-1].report.pending
    assert pending is not None
    assert pending.forecast is not None
    assert pending.forecast.start == 1_140, "at 1,100, told to the minute"


def test_who_passes_gets_devices_that_nobody_has() -> None:
    """Two short jobs pass the one that waits for the whole node; a longer one does not."""
    plan = _plan(_waits("a", 8, 50), _waits("b", 2, 100), _waits("c", 2, 90), _waits("d", 1, 101))
    started = _started(plan)
    assert list(started) == ["b", "c"]
    given = [device for devices in started.values() for device in devices]
    assert sorted(given) == [4, 5, 6, 7]


def test_rings_are_kept_for_the_gang_that_waits_for_both() -> None:
    """Who ends in time may use the free one until then."""
    plan = _plan(_waits("a", 4, 500, replicas=2), _waits("b", 4, 100), _waits("c", 4, 101))
    assert list(_started(plan)) == ["b"]
