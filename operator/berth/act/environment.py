"""The environment that replicas get: what every trainer can rely on, and what its runtime reads.

Berth's variables stand before the template's own, so that a container may refer to them (`$(BERTH_REPLICA)`), and may
override those of its runtime; those that start with `BERTH_` it may not.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from berth.api.job import Runtime
from berth.api.names import COORDINATOR_PORT

PREFIX = "BERTH_"
HCCL_CONNECT_SECONDS = 1800
"""How long a replica waits for the others to connect: HCCL's own two minutes are over while images are being pulled."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One replica of one attempt, as its trainer has to know it.

    `coordinator` is rank 0's host name. `group_size`: replicas of one group (`topology.groups`); None without groups.
    """

    job: str
    attempt: int
    replica: int
    replicas: int
    devices: int
    coordinator: str
    group_size: int | None = None


def variables(rank: Rank, runtime: Runtime) -> list[dict[str, str]]:
    """Environment of one replica, as entries of a container's `env`."""
    found = {
        "BERTH_JOB": rank.job,
        "BERTH_ATTEMPT": rank.attempt,
        "BERTH_REPLICA": rank.replica,
        "BERTH_REPLICAS": rank.replicas,
        "BERTH_DEVICES_PER_REPLICA": rank.devices,
        "BERTH_COORDINATOR": rank.coordinator,
    }
    if runtime is Runtime.TORCHRUN:
        found |= {
            "PET_NNODES": rank.replicas,
            "PET_NODE_RANK": rank.replica,
            "PET_NPROC_PER_NODE": rank.devices,
            "PET_MASTER_ADDR": rank.coordinator,
            "PET_MASTER_PORT": COORDINATOR_PORT,
            # Job and attempt, so that a stray worker of an earlier attempt cannot join.
            "PET_RDZV_ID": f"{rank.job}-{rank.attempt}",
        }
    if runtime is Runtime.TORCH_NPU:
        found |= _torch_npu(rank)
    return [{"name": name, "value": str(value)} for name, value in found.items()]


def _torch_npu(rank: Rank) -> dict[str, str | int]:
    """What the Ascend build of PyTorch and its HCCL read: sizes count dies, `RANK` counts nodes."""
    found: dict[str, str | int] = {
        "MASTER_ADDR": rank.coordinator,
        "MASTER_PORT": COORDINATOR_PORT,
        "WORLD_SIZE": rank.replicas * rank.devices,
        "RANK": rank.replica,
        "LOCAL_WORLD_SIZE": rank.devices,
        "HCCL_CONNECT_TIMEOUT": HCCL_CONNECT_SECONDS,
    }
    if rank.group_size is not None:
        found["HCCL_LOGIC_SUPERPOD_ID"] = rank.replica // rank.group_size
    return found


def merged(ours: list[dict[str, str]], theirs: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Put a container's own variables behind Berth's. The last of equal names wins in Kubernetes, as it does here.

    Raises ValueError for a name that only Berth may set.
    """
    own = list(theirs)
    reserved = sorted(str(v.get("name")) for v in own if str(v.get("name")).startswith(PREFIX))
    if reserved:
        raise ValueError(f"env {', '.join(reserved)}: names that start with {PREFIX} are set by Berth; rename it")
    taken = {v.get("name") for v in own}
    kept: list[dict[str, object]] = [{**v} for v in ours if v["name"] not in taken]
    return kept + own
