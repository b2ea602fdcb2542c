"""Trying a replica before planning it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth.act.probe import Prober, as_written, try_replica
from berth.act.refusals import told
from berth.cluster.jobs import JobEntry, Replica
from berth.cluster.mirror import Mirror
from berth.cluster.pools import PoolFacts
from berth.core.model import Hindrance, JobKey, Toleration
from berth.core.plan import Reason
from berth.kube.errors import ApiError
from tests.unit.small_cluster import SmallCluster, refusal, unreachable
from tests.unit.wire_objects import GPU, a_job, a_template, own_pod, placed, pool_facts, status_of

KEY = JobKey("team", "train")

pytestmark = pytest.mark.looptime


async def tried(cluster: SmallCluster, pool: PoolFacts | None = None, **job: Any) -> Replica:
    return await try_replica(cluster, JobEntry.of(a_job(**job)), [pool] if pool else [])


async def test_a_replica_counts_as_admission_would_make_it() -> None:
    """What a LimitRange adds, what webhooks select and tolerate: the pod as it will be, its devices apart."""
    cluster = SmallCluster()

    def admit(pod: dict[str, Any]) -> None:
        pod["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "2", GPU: "8"}
        pod["spec"]["nodeSelector"] = {"zone": "b", "arch": "amd64"}
        pod["spec"]["tolerations"] = [
            {"key": "gpu", "operator": "Exists"},
            {"key": "k", "value": "v", "effect": "NoSchedule"},
        ]

    cluster.reshape = admit
    found = await tried(cluster, pool_facts(), generation=4)
    assert (found.generation, found.hindrance) == (4, None)
    assert found.requests == (("cpu", 2000), ("pods", 1))
    assert found.selector == (("arch", "amd64"), ("zone", "b"))
    assert (Toleration("gpu", "Exists", "", ""), Toleration("k", "Equal", "v", "NoSchedule")) == found.tolerations


async def test_trying_leaves_nothing_behind() -> None:
    """It is a dry run of the next attempt's first replica, tied to no node."""
    cluster = SmallCluster()
    await tried(cluster, pool_facts(), status={"attempt": 3})
    assert (cluster.calls, cluster.objects) == (["try pods team/train-4-0"], {})


async def test_without_a_pool_a_replica_is_tried_without_devices() -> None:
    """The rest of the template can be wrong, too; a pool that cannot say what a device is called is as good as none."""
    for pool in (None, pool_facts(resource="", problem=("UnknownProfile", "there is none"))):
        cluster = SmallCluster()
        seen: list[Any] = []
        cluster.reshape = lambda pod, seen=seen: seen.append(pod["spec"]["containers"][0].get("resources"))  # type: ignore[misc]
        found = await tried(cluster, pool)
        assert (seen, found.hindrance) == ([None], None)


async def test_a_template_that_contradicts_the_job_never_reaches_the_api_server() -> None:
    """The sentence is Berth's own."""
    cluster = SmallCluster()
    template = a_template({"name": "trainer", "resources": {"limits": {GPU: "4"}}})
    found = await tried(cluster, pool_facts(), template=template)
    assert found.hindrance is not None
    assert found.hindrance.reason == Reason.TEMPLATE_REFUSED
    assert "must ask for spec.devicesPerReplica (8) in all" in found.hindrance.message
    assert cluster.calls == []


async def test_a_replica_as_written_counts_like_one_that_nobody_changes() -> None:
    """Who may not create pods gets the same answer where the API server takes the template as it is."""
    limits = {"cpu": "4", "memory": "8Gi", GPU: "8"}
    toleration = {"key": "gpu", "operator": "Exists"}
    template = a_template(
        {"name": "trainer", "resources": {"limits": limits}}, nodeSelector={"zone": "b"}, tolerations=[toleration]
    )
    entry = JobEntry.of(a_job(template=template, generation=3))
    for pools in ([], [pool_facts()]):
        assert as_written(entry, pools) == await try_replica(SmallCluster(), entry, pools)


def test_a_replica_as_written_is_refused_for_what_no_pod_can_be_made_of() -> None:
    """Quantities and contradictions, in a sentence, where the API server would have said it."""
    for limits, told_ in (
        ({GPU: "4"}, "must ask for spec.devicesPerReplica (8)"),
        ({"cpu": "many"}, "'many' is not a"),
    ):
        template = a_template({"name": "trainer", "resources": {"limits": limits}})
        found = as_written(JobEntry.of(a_job(template=template)), [pool_facts()])
        assert found.hindrance is not None
        assert found.hindrance.reason == Reason.TEMPLATE_REFUSED
        assert told_ in found.hindrance.message


def nested(levels: int) -> dict[str, Any]:
    """So many objects inside each other."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"x": found}
    return found


ODD = {
    "the name of a variable is an object": (
        {"env": [{"name": {"x": 1}}]},
        "spec.template.spec.containers[0].env[0].name: {'x': 1}: must be a string; write it as in a Pod",
    ),
    "a number of devices that Python does not read": (
        {"resources": {"limits": {GPU: "1" * 5_000}}},
        f"spec.template.spec.containers[0].resources.limits[{GPU}]: 111",
    ),
    "a nest that is not written": ({"livenessProbe": nested(300)}, "spec.template: no pod can be made of it ("),
}


@pytest.mark.parametrize(("fields", "text"), ODD.values(), ids=ODD.keys())
async def test_what_only_the_schema_lets_through_is_its_jobs_trouble(
    tries: "Tries", fields: dict[str, Any], text: str
) -> None:
    """It is stored, so it would end every operator that comes after this one, too."""
    tries.mirror.put_job(a_job(version=2, template=a_template({"name": "trainer", **fields})))
    await tries.after(0)
    hindrance = tries.mirror.jobs[KEY].to_view({}, 0).hindrance
    assert hindrance is not None
    assert hindrance.reason == Reason.TEMPLATE_REFUSED
    assert hindrance.message.startswith(text)
    assert not tries.prober.broken.done()
    assert tries.cluster.calls == []


async def test_a_replica_that_the_api_server_refuses_is_the_jobs_condition() -> None:
    """In its words, with the job's own fields."""
    cluster = SmallCluster()
    causes = [{"field": "spec.containers[0].image", "reason": "FieldValueRequired", "message": "Required value"}]
    cluster.fail("try pods", refusal(422, "Invalid", 'Pod "train-1-0" is invalid: …', details={"causes": causes}))
    found = await tried(cluster, pool_facts())
    text = "spec.template.spec.containers[0].image: Required value: correct the template"
    assert Hindrance(Reason.TEMPLATE_REFUSED, text) == found.hindrance


QUOTA = "exceeded quota: team, requested: cpu=2, used: cpu=9, limited: cpu=10"
UNREADABLE = 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field'
FIVE = [{"field": f"spec.f{n}", "message": f"Invalid value: {n}"} for n in range(5)]
THREE = "; ".join(f"spec.template.spec.f{n}: Invalid value: {n}" for n in range(3))
REFUSALS = {
    "a quota": (
        refusal(403, "Forbidden", f'pods "train-1-0" is forbidden: {QUOTA}'),
        f"{QUOTA}: correct the template, or what refuses it",
    ),
    "an unknown field": (
        refusal(400, "BadRequest", f'{UNREADABLE} "spec.containers[0].imagee"'),
        'unknown field "spec.template.spec.containers[0].imagee": correct the template',
    ),
    "many mistakes": (
        refusal(422, "Invalid", "…", details={"causes": FIVE}),
        f"{THREE}; and 2 more: correct the template",
    ),
    "no field": (
        refusal(422, "Invalid", "…", details={"causes": [{"field": "", "message": "too long"}]}),
        "spec.template: too long: correct the template",
    ),
}


@pytest.mark.parametrize(("error", "expected"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_told_in_the_fields_that_the_user_wrote(error: ApiError, expected: str) -> None:
    """The server speaks of a pod; the user wrote a template."""
    assert expected == told(error)


class Tries:
    """A prober over a small cluster and a mirror with one job."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.cluster = SmallCluster()
        self.rings = 0
        self.mirror = Mirror(self._ring)
        self.mirror.put_pool(pool_facts())
        self.prober = Prober(
            client=self.cluster,
            mirror=self.mirror,
            again_seconds=60.0,
            pause_seconds=2.0,
            monotonic=self.loop.time,
        )
        self.mirror.put_job(a_job())

    def _ring(self) -> None:
        self.rings += 1

    def waits_for(self) -> str | None:
        """The reason why the job is held back."""
        hindrance = self.mirror.jobs[KEY].to_view({}, 0).hindrance
        return hindrance.reason if hindrance else None

    async def after(self, seconds: float) -> None:
        """A cycle begins after so much time, and what it begins goes on for a moment."""
        await asyncio.sleep(seconds)
        self.prober.begin()
        await asyncio.sleep(0.1)


@pytest.fixture
async def tries() -> AsyncIterator[Tries]:
    made = Tries()
    yield made
    await made.prober.stop()


async def test_a_job_is_tried_once_for_each_generation(tries: Tries) -> None:
    """Cycles come often; the answer is good until the job changes."""
    for _ in range(3):
        await tries.after(0)
    assert (len(tries.cluster.calls), tries.waits_for()) == (1, None)
    tries.mirror.put_job(a_job(version=2, generation=2))
    await tries.after(0)
    assert (len(tries.cluster.calls), tries.waits_for()) == (2, None)


async def test_a_job_is_not_tried_twice_at_a_time(tries: Tries) -> None:
    """However slow the API server is."""
    hold = tries.cluster.hold("try pods")
    for _ in range(3):
        await tries.after(0)
    assert len(tries.cluster.calls) == 1
    hold.release.set()
    await tries.after(0)
    assert tries.waits_for() is None


async def test_the_end_of_a_try_brings_its_job_back_to_a_cycle(tries: Tries) -> None:
    """Nothing else would."""
    tries.prober.begin()
    tries.rings = 0
    await asyncio.sleep(0.1)
    assert tries.rings


async def test_an_api_server_that_cannot_be_asked_is_asked_again_after_a_pause(tries: Tries) -> None:
    """It is no refusal; the job goes on waiting for the try."""
    tries.cluster.fail("try pods", unreachable())
    await tries.after(0)
    await tries.after(0)
    assert len(tries.cluster.calls) == 1
    assert tries.waits_for() == Reason.VALIDATING
    tries.rings = 0
    await asyncio.sleep(2)
    assert tries.rings
    await tries.after(0)
    assert (len(tries.cluster.calls), tries.waits_for()) == (2, None)


BROKEN = 'Internal error occurred: failed calling webhook "inject.mesh": connection refused'


@pytest.mark.parametrize("defaults", ["", "1234"])
async def test_a_webhook_that_does_not_work_is_told_after_three_tries(tries: Tries, defaults: str) -> None:
    """Nobody would know otherwise what the job waits for; it is tried again as one that was refused."""
    tries.mirror.put_pool(pool_facts(version=2, defaults_id=defaults))
    tries.cluster.fail("try pods", refusal(500, "InternalError", BROKEN), times=3)
    for number in (1, 2):
        await tries.after(2)
        assert (len(tries.cluster.calls), tries.waits_for()) == (number, Reason.VALIDATING)
    await tries.after(2)
    expected = Hindrance(Reason.TEMPLATE_REFUSED, f"{BROKEN}: correct the template, or what refuses it")
    assert expected == tries.mirror.jobs[KEY].to_view({}, 0).hindrance
    await tries.after(50)
    assert len(tries.cluster.calls) == 3
    await tries.after(10)
    assert (len(tries.cluster.calls), tries.waits_for()) == (4, None)


@pytest.mark.parametrize(
    "error", [unreachable(), refusal(503, "ServiceUnavailable"), refusal(429, "TooManyRequests")], ids=str
)
async def test_a_server_that_is_away_is_waited_for(tries: Tries, error: ApiError) -> None:
    """It is back soon, and then nobody should have to wait a minute."""
    tries.cluster.fail("try pods", error, times=9)
    for _ in range(10):
        assert tries.waits_for() == Reason.VALIDATING
        await tries.after(2)
    assert (len(tries.cluster.calls), tries.waits_for()) == (10, None)


async def test_only_faults_in_a_row_are_told(tries: Tries) -> None:
    """Two now and two after an edit are a server's bad moments."""
    fault = refusal(500, "InternalError", BROKEN)
    tries.cluster.fail("try pods", fault, times=2)
    for _ in range(3):
        await tries.after(2)
    assert tries.waits_for() is None
    tries.mirror.put_job(a_job(version=2, generation=2))
    tries.cluster.fail("try pods", fault, times=2)
    for _ in range(2):
        await tries.after(2)
        assert tries.waits_for() == Reason.VALIDATING
    await tries.after(2)
    assert tries.waits_for() is None


async def test_a_refused_replica_is_tried_again_after_a_while(tries: Tries) -> None:
    """What refused it may lie outside the job; until then, and while it is tried, the refusal stands."""
    tries.cluster.fail("try pods", refusal(403, "Forbidden", "exceeded quota"), times=2)
    await tries.after(0)
    await tries.after(59)
    assert len(tries.cluster.calls) == 1
    assert tries.waits_for() == Reason.TEMPLATE_REFUSED
    await tries.after(1)
    assert len(tries.cluster.calls) == 2
    assert tries.waits_for() == Reason.TEMPLATE_REFUSED
    await tries.after(60)
    assert (len(tries.cluster.calls), tries.waits_for()) == (3, None)


async def test_the_loop_is_told_when_a_refused_replica_is_due(tries: Tries) -> None:
    """A quiet cluster must not make it wait longer."""
    tries.cluster.fail("try pods", refusal(403, "Forbidden", "exceeded quota"))
    assert tries.prober.begin() is None
    await asyncio.sleep(10)
    wait = tries.prober.begin()
    assert wait is not None
    assert 49 < wait <= 50


async def test_an_edit_during_a_try_makes_the_answer_worthless(tries: Tries) -> None:
    """It was about another template."""
    hold = tries.cluster.hold("try pods")
    tries.prober.begin()
    await hold.arrived.wait()
    tries.mirror.put_job(a_job(version=2, generation=2))
    hold.release.set()
    await asyncio.sleep(0.1)
    assert tries.waits_for() == Reason.VALIDATING
    await tries.after(0)
    assert (len(tries.cluster.calls), tries.waits_for()) == (2, None)


async def test_a_job_that_goes_during_a_try_is_no_trouble(tries: Tries) -> None:
    """The answer is about nobody."""
    hold = tries.cluster.hold("try pods")
    tries.prober.begin()
    await hold.arrived.wait()
    tries.mirror.drop_job(KEY, "train-uid")
    hold.release.set()
    await asyncio.sleep(0.1)
    assert tries.mirror.jobs == {}


async def test_jobs_that_hold_devices_are_not_tried(tries: Tries) -> None:
    """What counts is how they were planned."""
    tries.mirror.put_job(a_job(version=2, generation=2, status=status_of(placed("n1", "n2"))))
    await tries.after(0)
    assert tries.cluster.calls == []


async def test_names_of_old_pods_are_not_tried(tries: Tries) -> None:
    """A pod of an attempt that the status does not know of has that name already."""
    tries.mirror.put_own_pod(("team", "train-4-0"), own_pod("train-4-0"))
    await tries.after(0)
    assert tries.cluster.calls == ["try pods team/train-5-0"]


async def test_a_bug_in_a_try_is_told(tries: Tries) -> None:
    """It must end the operator: a job that is never tried waits for ever, and nobody would know why."""

    def broken(_: dict[str, Any]) -> None:
        raise RuntimeError("a bug")

    tries.cluster.reshape = broken
    await tries.after(0)
    with pytest.raises(RuntimeError, match="a bug"):
        await tries.prober.broken


async def test_a_stop_ends_all_tries(tries: Tries) -> None:
    """Nothing is left running."""
    tries.cluster.hold("try pods")
    tries.prober.begin()
    await asyncio.sleep(0.1)
    await tries.prober.stop()
    await asyncio.sleep(0.1)
    assert tries.waits_for() == Reason.VALIDATING
