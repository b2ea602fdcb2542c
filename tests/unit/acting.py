"""An actuator between a small cluster and a mirror of it, with one job to carry things out for."""

import asyncio
from typing import Any

from berth.act.actuator import Actuator
from berth.api.job import TrainingJob
from berth.cluster.jobs import Replica
from berth.cluster.mirror import Mirror
from berth.core.cycle import Snapshot, cycle
from berth.core.model import JobKey, Mode
from berth.core.plan import Plan
from berth.kube.events import EventRecorder
from tests.unit.small_cluster import SmallCluster
from tests.unit.wire_objects import GPU, a_node, job_object, pool_facts

KEY = JobKey("team", "train")
UID = "train-uid"
PODS = ["create pods team/train-1-0", "create pods team/train-1-1"]
STATUS = "apply trainingjobs/status team/train"
BUDGET = "create poddisruptionbudgets team/train-1"
SERVICE = "create services team/train-1"


class Ground:
    """A small cluster, a mirror of it, and an actuator between the two."""

    def __init__(self) -> None:
        self.cluster = SmallCluster()
        self.rings = 0
        self.mirror = Mirror(self._ring)
        self.mirror.put_pool(pool_facts())
        for number in range(1, 5):
            self.mirror.put_node(("", f"n{number}"), a_node(f"n{number}"))
        self.recorder = EventRecorder(self.cluster, controller="berth.dev/operator", instance="test")
        self.loop = asyncio.get_running_loop()
        self.actuator = self.an_actuator()

    def an_actuator(self) -> Actuator:
        """One that has told nothing yet."""
        return Actuator(
            client=self.cluster,
            mirror=self.mirror,
            recorder=self.recorder,
            report_every=10.0,
            clock=lambda: 1_000 + self.loop.time(),
            monotonic=self.loop.time,
        )

    def _ring(self) -> None:
        self.rings += 1

    def submit(self, name: str = "train", **facts: Any) -> None:
        """A job is applied, and its replica was tried."""
        made = self.cluster.put("trainingjobs", job_object(name, **facts))
        self.see(name)
        self.mirror.set_replica(made["metadata"]["uid"], Replica(made["metadata"]["generation"]))

    def see(self, name: str = "train") -> None:
        """The job arrives from the watch as it stands."""
        self.mirror.put_job(TrainingJob.model_validate(self.cluster.objects["trainingjobs", "team", name]))

    def edit(self, name: str = "train", **spec: Any) -> None:
        """A user changes the spec; nobody has told the mirror yet."""
        there = self.cluster.objects["trainingjobs", "team", name]
        metadata = {**there["metadata"], "generation": there["metadata"]["generation"] + 1}
        self.cluster.put("trainingjobs", {**there, "metadata": metadata, "spec": {**there["spec"], **spec}})

    def snapshot(self) -> Snapshot:
        return self.mirror.snapshot(Mode.ACTIVE)

    def decide(self) -> Plan:
        """One cycle, carried out up to the first thing that has to be waited for."""
        plan = cycle(self.snapshot(), int(1_000 + self.loop.time()))
        self.actuator.carry_out(plan)
        return plan

    async def settle(self) -> None:
        """Wait for all that is under way."""
        await self.actuator.finish(float("inf"))

    async def run(self) -> Plan:
        """One cycle, carried out to the end."""
        plan = self.decide()
        await self.settle()
        return plan

    def status(self, name: str = "train") -> Any:
        """The job's status as it stands, on the wire."""
        return self.cluster.objects["trainingjobs", "team", name].get("status")

    def taken(self) -> set[str]:
        """Nodes on which devices are taken."""
        ledger = self.mirror.pools.snapshot()["h800"].ledger
        return {n.name for n, used in zip(ledger.nodes, ledger.used, strict=True) if used.get(GPU)}

    async def notes(self) -> list[str]:
        """Notes of the events that were posted."""
        await self.recorder.flush()
        return [obj["note"] for where, obj in self.cluster.objects.items() if where[0] == "events"]
