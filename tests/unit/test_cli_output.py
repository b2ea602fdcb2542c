"""What commands print, letter by letter, on a terminal of 80 columns and on one of 160."""

# Lines of a terminal of 160 columns.
# ruff: noqa: E501

from typing import Any

import pytest

from berth.cli import explain, history, output, queue, top
from berth.cli.screen import Screen
from berth.cli.words import seconds
from berth.kube.resources import TRAINING_JOBS
from tests.unit.wire_objects import Json, job_object

NOW = seconds("2026-11-22T06:15:00Z") or 0
NARROW, WIDE = Screen(80), Screen(160)

NEEDS = (
    "needs 32 free nodes under one spine; the most free is 27 under spine-3 (of 45); 5 more come free when "
    "nlp/bert-large ends, expected at 2026-11-22T06:40Z; may start at 2026-11-22T06:40Z if running jobs end by their "
    "maxDuration"
)
NEAREST = ["topology.policy Preferred: could start now over 2 spines", "replicas 27: could start now under spine-3"]


def job(name: str, status: Json | None = None, *, namespace: str = "llm", **spec: Any) -> Json:
    return job_object(name, namespace=namespace, status=status, **spec)


def pending(reason: str, message: str, *, priority: int = 0, state: str = "Pending", **more: Any) -> Json:
    return {"state": state, "priority": priority, "pending": {"reason": reason, "message": message, **more}}


LLAMA = job(
    "llama-70b",
    {
        **pending(
            "TopologyBlocked",
            NEEDS,
            priority=1000,
            position=1,
            estimatedStart="2026-11-22T06:40:00Z",
            nearest=NEAREST,
        ),
        "conditions": [
            {"type": "Placed", "status": "False", "reason": "TopologyBlocked", "message": NEEDS},
            {"type": "PodsReady", "status": "False", "reason": "NoPods", "message": ""},
        ],
    },
    replicas=32,
    pools=["h800"],
    topology={"level": "spine", "policy": "Required", "groups": {"size": 4, "level": "leaf"}},
    maxDuration="72h",
)
BERT = job(
    "bert-large-distillation-7",
    pending("InsufficientDevices", "needs 128 nodes; 96 of 128 are free in pool h800", position=2),
    namespace="nlp",
    replicas=128,
)
BROKEN = job(
    "whisper",
    pending("BackOff", "attempt 1 ended (OwnFailure), the next attempt starts after 2026-11-22T06:16:00Z"),
    namespace="asr",
)
RUNNING = job("resnet", {"state": "Running"}, namespace="vision")
JOBS = [RUNNING, BERT, BROKEN, LLAMA]

QUEUE_80 = """\
NAMESPACE  POS  NAME                  REPLICAS  EACH  AGE    START  WHY
llm          1  llama-70b                   32     8  3h15m  25m    needs 32 fr…
asr          -  whisper                      2     8  3h15m  -      attempt 1 e…
nlp          2  bert-large-distilla…       128     8  3h15m  -      needs 128 n…"""

QUEUE_160 = """\
NAMESPACE  POS  NAME                       REPLICAS  EACH  AGE    START  WHY
llm          1  llama-70b                        32     8  3h15m  25m    needs 32 free nodes under one spine; the most free is 27 under spine-3 (of 45); 5 more…
asr          -  whisper                           2     8  3h15m  -      attempt 1 ended (OwnFailure), the next attempt starts after 2026-11-22T06:16:00Z
nlp          2  bert-large-distillation-7       128     8  3h15m  -      needs 128 nodes; 96 of 128 are free in pool h800"""

WIDE_160 = """\
POS  NAME                       REPLICAS  EACH  AGE    START  PRIORITY  POOLS  REASON               WHY
  1  llama-70b                        32     8  3h15m  25m        1000  h800   TopologyBlocked      needs 32 free nodes under one spine; the most free is 27 un…
  -  whisper                           2     8  3h15m  -             0  -      BackOff              attempt 1 ended (OwnFailure), the next attempt starts after…
  2  bert-large-distillation-7       128     8  3h15m  -             0  -      InsufficientDevices  needs 128 nodes; 96 of 128 are free in pool h800"""


def lined(lines: list[str]) -> str:
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("screen", "wide", "namespaces", "text"),
    [(NARROW, False, True, QUEUE_80), (WIDE, False, True, QUEUE_160), (WIDE, True, False, WIDE_160)],
    ids=["80", "160", "wide"],
)
def test_the_queue_shows_who_waits_in_the_order_of_the_queue(
    screen: Screen, wide: bool, namespaces: bool, text: str
) -> None:
    """Higher priority first, then by age and name; who runs is not in it."""
    found = queue.waiting(JOBS)
    assert lined(queue.rows(found, NOW, screen, wide=wide, namespaces=namespaces)) == text


def test_the_queue_of_a_pool_has_the_jobs_that_may_run_in_it() -> None:
    """A job that names no pool may run in any."""
    assert [job["metadata"]["name"] for job in queue.waiting(JOBS, "ascend")] == [
        "whisper",
        "bert-large-distillation-7",
    ]


def test_the_order_of_the_queue_is_that_of_the_cycle() -> None:
    """Priority, then the earlier submission, then namespace and name."""

    def at(name: str, moment: str, priority: int, namespace: str = "team") -> Json:
        obj = job(name, pending("TooLarge", "no", priority=priority), namespace=namespace)
        obj["metadata"]["creationTimestamp"] = moment
        return obj

    early, late = "2026-11-22T03:00:00Z", "2026-11-22T04:00:00Z"
    jobs = [at("a", late, 0), at("z", early, 0), at("b", late, 5), at("a", early, 0, "zoo"), at("c", late, -3)]
    ordered = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in queue.waiting(jobs)]
    assert ordered == [("team", "b"), ("team", "z"), ("zoo", "a"), ("team", "a"), ("team", "c")]


EXPLAIN_80 = """\
llm/llama-70b is Pending: TopologyBlocked
  asks for          32 replicas of 8 devices, Required spine, groups of 4 inside
                    one leaf, pools h800, priority 1000, maxDuration 72h
  submitted         2026-11-22T03:00:00Z (3h15m ago)
  why               needs 32 free nodes under one spine; the most free is 27
                    under spine-3 (of 45); 5 more come free when nlp/bert-large
                    ends, expected at 2026-11-22T06:40Z; may start at
                    2026-11-22T06:40Z if running jobs end by their maxDuration
  position          1 in the queue of its pools
  estimated start   2026-11-22T06:40:00Z (in 25m)
  nearest           topology.policy Preferred: could start now over 2 spines
  nearest           replicas 27: could start now under spine-3"""

EXPLAIN_160 = """\
llm/llama-70b is Pending: TopologyBlocked
  asks for          32 replicas of 8 devices, Required spine, groups of 4 inside one leaf, pools h800, priority 1000, maxDuration 72h
  submitted         2026-11-22T03:00:00Z (3h15m ago)
  why               needs 32 free nodes under one spine; the most free is 27 under spine-3 (of 45); 5 more come free when nlp/bert-large ends, expected at
                    2026-11-22T06:40Z; may start at 2026-11-22T06:40Z if running jobs end by their maxDuration
  position          1 in the queue of its pools
  estimated start   2026-11-22T06:40:00Z (in 25m)
  nearest           topology.policy Preferred: could start now over 2 spines
  nearest           replicas 27: could start now under spine-3"""

ATTEMPTS = [
    {
        "attempt": 2,
        "started": "2026-11-22T03:10:00Z",
        "ended": "2026-11-22T04:10:00Z",
        "cause": "NodeFailure",
    },
    {
        "attempt": 3,
        "started": "2026-11-22T04:10:00Z",
        "ended": "2026-11-22T05:10:30Z",
        "cause": "OwnFailure",
        "firstFailure": {
            "replica": 7,
            "node": "h800-0024",
            "exitCode": 1,
            "message": "Traceback:\n  CUDA error: an illegal memory access was encountered",
        },
    },
]
TRIED = job(
    "resnet",
    {
        "observedGeneration": 1,
        "state": "Running",
        "priority": 0,
        "pool": "h800",
        "attempt": 4,
        "failures": 1,
        "heldSeconds": 7830,
        "startedAt": "2026-11-22T05:16:00Z",
        "placement": {"nodes": "h800-[0001-0004]", "devices": "0-7*4", "admittedAt": "2026-11-22T05:15:00Z"},
        "attempts": ATTEMPTS,
        "refusals": [
            {"nodes": "h800-0024", "until": "2026-11-22T06:25:00Z"},
            {"nodes": "h800-0025", "until": "2026-11-22T06:05:00Z"},
        ],
        "conditions": [
            {
                "type": "Placed",
                "status": "True",
                "reason": "Contiguous",
                "message": "4 replicas on 4 nodes under leaf-1",
            },
            {"type": "PodsReady", "status": "True", "reason": "AllReady", "message": "4 replicas ready"},
            {"type": "Finished", "status": "False", "reason": "Running", "message": ""},
        ],
    },
    namespace="vision",
    generation=2,
    replicas=4,
    maxDuration="8h",
)

TRIED_80 = """\
vision/resnet is Running
  asks for          4 replicas of 8 devices, any pool, priority 0, maxDuration
                    8h
  submitted         2026-11-22T03:00:00Z (3h15m ago)
  note              the status is about generation 1 of the job, which is at 2
                    by now
  Placed            True, Contiguous: 4 replicas on 4 nodes under leaf-1
  PodsReady         True, AllReady: 4 replicas ready
  nodes             h800-[0001-0004] (in rank order)
  devices           0-7*4 (in rank order)
  attempt           4, admitted at 2026-11-22T05:15:00Z, all replicas up at
                    2026-11-22T05:16:00Z
  failures          1 charged, spec.backoffLimit is 3
  avoids            h800-0024 until 2026-11-22T06:25:00Z
  last ended        attempt 3 (OwnFailure): replica 7 on node h800-0024, exit
                    code 1: Traceback: CUDA error: an illegal memory access was
                    encountered"""


@pytest.mark.parametrize(
    ("found", "screen", "text"),
    [(LLAMA, NARROW, EXPLAIN_80), (LLAMA, WIDE, EXPLAIN_160), (TRIED, NARROW, TRIED_80)],
    ids=["waits-80", "waits-160", "runs-80"],
)
def test_a_job_is_explained_in_the_words_of_its_status(found: Json, screen: Screen, text: str) -> None:
    """Nothing is said twice, nothing is cut, and what is over (a node that was avoided) is left out."""
    assert lined(explain.explained(found, NOW, screen)) == text


def test_a_job_that_no_operator_has_seen_says_so() -> None:
    """It is not taken for one that waits for devices."""
    assert lined(explain.explained(job("new"), NOW, NARROW)) == (
        """\
llm/new is Unknown
  asks for          2 replicas of 8 devices, any pool, no maxDuration
  submitted         2026-11-22T03:00:00Z (3h15m ago)
  note              no operator has looked at it yet: is one running, and is it
                    this cluster's?"""
    )


HISTORY_80 = """\
vision/resnet is Running
  attempts          4, the first is no longer told
  failures          1 charged, spec.backoffLimit is 3
  held devices for  3h10m30s, spec.maxDuration is 8h
ATTEMPT  STARTED                HELD  CAUSE        FIRST FAILURE
      2  2026-11-22T03:10:00Z     1h  NodeFailure  -
      3  2026-11-22T04:10:00Z  1h30s  OwnFailure   replica 7 on node h800-0024,…
      4  2026-11-22T05:15:00Z     1h  -            -"""

HISTORY_160 = """\
vision/resnet is Running
  attempts          4, the first is no longer told
  failures          1 charged, spec.backoffLimit is 3
  held devices for  3h10m30s, spec.maxDuration is 8h
ATTEMPT  STARTED                HELD  CAUSE        FIRST FAILURE
      2  2026-11-22T03:10:00Z     1h  NodeFailure  -
      3  2026-11-22T04:10:00Z  1h30s  OwnFailure   replica 7 on node h800-0024, exit code 1: Traceback: CUDA error: an illegal memory access was encountered
      4  2026-11-22T05:15:00Z     1h  -            -"""


POOLS: list[Json] = [
    {
        "metadata": {"name": "h800"},
        "spec": {"profile": "nvidia-h800"},
        "status": {
            "resourceName": "nvidia.com/gpu",
            "nodes": {"total": 96, "ready": 94, "spare": 2},
            "devices": {"total": 768, "free": 216, "used": 536, "unavailable": 16},
            "levels": [
                {"level": "spine", "domains": 2, "largestFree": 128},
                {"level": "leaf", "domains": 12, "largestFree": 64},
            ],
            "conditions": [{"type": "Ready", "status": "True", "message": "2 spines, 12 leaves, 96 nodes"}],
        },
    },
    {"metadata": {"name": "ascend-910c"}, "spec": {"profile": "ascend-910c-superpod"}},
]

TOP_80 = """\
NAME         NODES  DEVICES  FREE  USED  UNAVAILABLE  READY    LARGEST FREE
ascend-910c      -        -     -     -            -  Unknown  -
h800            96      768   216   536           16  True     spine 128, leaf…"""

TOP_160 = """\
NAME         NODES  DEVICES  FREE  USED  UNAVAILABLE  READY    LARGEST FREE        PROFILE               OPEN  SPARE  RESOURCE        WHY
ascend-910c      -        -     -     -            -  Unknown  -                   ascend-910c-superpod     -      -  -               -
h800            96      768   216   536           16  True     spine 128, leaf 64  nvidia-h800             94      2  nvidia.com/gpu  2 spines, 12 leaves, 96 n…"""


@pytest.mark.parametrize(
    ("screen", "wide", "text"), [(NARROW, False, TOP_80), (WIDE, True, TOP_160)], ids=["80", "160"]
)
def test_pools_show_their_devices_by_state(screen: Screen, wide: bool, text: str) -> None:
    """A pool that no operator has counted has dashes, not zeros."""
    assert lined(top.rows(POOLS, screen, wide=wide)) == text


@pytest.mark.parametrize(("screen", "text"), [(NARROW, HISTORY_80), (WIDE, HISTORY_160)], ids=["80", "160"])
def test_the_history_has_every_attempt_that_is_kept(screen: Screen, text: str) -> None:
    """The current one included; the time over all attempts counts those that are no longer told."""
    assert lined(history.told(TRIED, NOW, screen)) == text


def test_objects_for_scripts_are_those_of_the_api_server() -> None:
    """One is itself, several are a List, names are as kubectl writes them; nobody wants managedFields."""
    listed = {key: value for key, value in LLAMA.items() if key not in ("apiVersion", "kind")}
    listed["metadata"] = {**listed["metadata"], "managedFields": [{"manager": "kubectl"}]}
    assert output.objects([listed], TRAINING_JOBS, "name") == ["trainingjob.berth.dev/llama-70b"]
    [text] = output.objects([listed], TRAINING_JOBS, "json", one=True)
    assert '"apiVersion": "berth.dev/v1alpha1"' in text
    assert "managedFields" not in text
    [text] = output.objects([listed, BERT], TRAINING_JOBS, "yaml")
    assert text.startswith("apiVersion: v1\nkind: List\nitems:\n- apiVersion: berth.dev/v1alpha1\n")
