"""Patience in the simulator: Berth's own rule waits for a contiguous place as in clusters, a baseline never does."""

import pytest

from berth.core.model import Gang, JobKey
from berth.sim.case import Case, Fleet, Task
from berth.sim.engine import run
from tests.builders import GPU, node

NODES = tuple(node(f"n{i}", f"s{i // 4}", f"l{i // 4}") for i in range(8))


def _case(policy: str, queue: str) -> Case:
    """A gang of two comes when one node of four is free under either spine; the first spine is free at 1,000."""
    work = {"a": (0, 3, 1_000), "b": (0, 3, 90_000), "c": (60, 2, 50_000)}
    tasks = tuple(
        Task(JobKey("t", name), submit, Gang(replicas, 8), seconds, declared=seconds)
        for name, (submit, replicas, seconds) in work.items()
    )
    return Case("patience", policy, (Fleet("h800", GPU, ("spine", "leaf"), NODES),), tasks, queue=queue)


@pytest.mark.parametrize("queue", ["conservative", "any-fit"])
@pytest.mark.parametrize(("policy", "start", "spines"), [("berth", 1_000, 1), ("tree-best-fit", 60, 2)])
def test_only_berth_waits_for_a_contiguous_place(policy: str, queue: str, start: int, spines: int) -> None:
    """In every queue, so that placement rules are compared with and without it under the same one."""
    gang = next(life for life in run(_case(policy, queue)).lives if life.task.key.name == "c").stints[0]
    assert {NODES[position].path[0] for position in gang.nodes} == {f"s{i}" for i in range(spines)}
    assert start <= gang.start <= start + 60
