"""What a pod takes on its node, counted as kube-scheduler counts it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth.cluster.requests import of_pod

GPU = "nvidia.com/gpu"


def container(always: bool = False, limits: dict[str, Any] | None = None, **requests: Any) -> dict[str, Any]:
    """A container by what it requests; a sidecar with `always`."""
    found: dict[str, Any] = {"name": "c", "resources": {"requests": requests}}
    if limits is not None:
        found["resources"]["limits"] = limits
    if always:
        found["restartPolicy"] = "Always"
    return found


def sidecar(**requests: Any) -> dict[str, Any]:
    return container(always=True, **requests)


PLAIN = [container(cpu="2", memory="1Ki")]
TABLE: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "a container": ({"containers": PLAIN}, {"cpu": 2000, "memory": 1024}),
    "containers run side by side": ({"containers": [container(cpu="2"), container(cpu="500m")]}, {"cpu": 2500}),
    "a limit without a request": ({"containers": [container(limits={GPU: 8})]}, {GPU: 8}),
    "a request below its limit": ({"containers": [container(limits={"cpu": "4"}, cpu="1")]}, {"cpu": 1000}),
    "nothing asked for": ({"containers": [{"name": "c"}]}, {}),
    "empty resources": ({"containers": [{"name": "c", "resources": None}]}, {}),
    "nothing of something": ({"containers": [container(cpu="0", memory="1")]}, {"memory": 1}),
    "a small init container": (
        {"containers": PLAIN, "initContainers": [container(cpu="1")]},
        {"cpu": 2000, "memory": 1024},
    ),
    "a large init container": (
        {"containers": PLAIN, "initContainers": [container(cpu="5")]},
        {"cpu": 5000, "memory": 1024},
    ),
    "init containers run one after the other": (
        {"containers": PLAIN, "initContainers": [container(cpu="3"), container(cpu="4"), container(memory="2Ki")]},
        {"cpu": 4000, "memory": 2048},
    ),
    "a sidecar runs beside the containers": (
        {"containers": PLAIN, "initContainers": [sidecar(cpu="1")]},
        {"cpu": 3000, "memory": 1024},
    ),
    "an init container runs beside the sidecars before it": (
        {"containers": PLAIN, "initContainers": [sidecar(cpu="1"), container(cpu="4"), sidecar(cpu="1")]},
        {"cpu": 5000, "memory": 1024},
    ),
    "and not beside those after it": (
        {"containers": PLAIN, "initContainers": [container(cpu="4"), sidecar(cpu="3")]},
        {"cpu": 5000, "memory": 1024},
    ),
    "overhead": ({"containers": PLAIN, "overhead": {"cpu": "250m", "memory": "1Ki"}}, {"cpu": 2250, "memory": 2048}),
    "pod-level requests stand for the sum": (
        {"containers": PLAIN, "resources": {"requests": {"cpu": "1"}}},
        {"cpu": 1000, "memory": 1024},
    ),
    "pod-level limits without requests": (
        {"containers": [container()], "resources": {"limits": {"memory": "1Ki"}}},
        {"memory": 1024},
    ),
    "pod-level requests and overhead": (
        {"containers": PLAIN, "resources": {"requests": {"cpu": "1"}}, "overhead": {"cpu": "1"}},
        {"cpu": 2000, "memory": 1024},
    ),
    "devices of several containers": (
        {"containers": [container(limits={GPU: "4"}), container(limits={GPU: "4"})]},
        {GPU: 8},
    ),
    "devices of an init container are given back": (
        {"containers": [container(limits={GPU: "4"})], "initContainers": [container(limits={GPU: "8"})]},
        {GPU: 8},
    ),
}


@pytest.mark.parametrize(("spec", "expected"), TABLE.values(), ids=TABLE.keys())
def test_a_pod_takes_what_kube_scheduler_counts(spec: dict[str, Any], expected: dict[str, int]) -> None:
    """Containers and sidecars are added up, an init container counts where it needs more, each pod is one pod."""
    assert {**expected, "pods": 1} == dict(of_pod(spec))


def test_equal_pods_have_equal_requests() -> None:
    """Requests are sorted by resource: in whatever order a template names them, they are one demand."""
    one = {"containers": [container(cpu="1", memory="2")]}
    other = {"containers": [container(memory="2", cpu="1")]}
    assert of_pod(one) == of_pod(other) == (("cpu", 1000), ("memory", 2), ("pods", 1))


AMOUNTS = st.integers(0, 5)
INITS = st.lists(st.tuples(st.booleans(), AMOUNTS), max_size=5)


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(AMOUNTS, min_size=1, max_size=3), INITS)
def test_no_moment_of_a_pods_life_needs_more_and_one_needs_as_much(
    running: list[int], inits: list[tuple[bool, int]]
) -> None:
    """Played through: start the init containers one by one, then the containers; the peak is what is requested."""
    up, peak = 0, 0
    for stays, amount in inits:
        peak = max(peak, up + amount)
        up += amount if stays else 0
    peak = max(peak, up + sum(running))
    spec = {
        "containers": [container(memory=str(amount)) for amount in running],
        "initContainers": [container(always=stays, memory=str(amount)) for stays, amount in inits],
    }
    assert peak == dict(of_pod(spec)).get("memory", 0)
