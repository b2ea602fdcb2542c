"""Manifests of both kinds for tests on a real API server, and where they live there."""

from pathlib import Path
from typing import Any

from berth.api.crd import KINDS
from berth.api.names import API_VERSION
from e2e.ground.controlplane import ControlPlane

ROOT = Path(__file__).parents[1]
JOBS = f"/apis/{API_VERSION}/namespaces/{{}}/trainingjobs"
"""Path of the jobs of one namespace, to be formatted with its name."""
POOLS = f"/apis/{API_VERSION}/acceleratorpools"

Manifest = dict[str, Any]

PLACEMENT = {
    "domain": "spine-0/leaf-0",
    "level": "leaf",
    "spans": {"spine": 1, "leaf": 1, "node": 4},
    "nodes": "h800-[0001-0004]",
    "generation": 1,
    "admittedAt": "2026-11-22T03:00:00Z",
    "podsCreated": True,
}
"""Four whole nodes of one leaf, as `status.placement` has them."""


def define(control_plane: ControlPlane) -> None:
    """Install the CRDs as they are checked in; may be done again at any time."""
    control_plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    names = [f"crd/{kind.plural}.berth.dev" for kind in KINDS]
    control_plane.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")


def job(name: str = "resnet", **spec: Any) -> Manifest:
    """The smallest job, with more in its spec."""
    template = {"spec": {"containers": [{"name": "trainer", "image": "trainer:1"}]}}
    smallest = {"replicas": 4, "devicesPerReplica": 8, "template": template}
    return {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": {"name": name}, "spec": {**smallest, **spec}}


def pool(name: str = "h800", **spec: Any) -> Manifest:
    """The smallest pool, with more in its spec."""
    smallest = {"profile": "nvidia-h800", "nodeSelector": {"matchLabels": {"nvidia.com/gpu.product": "NVIDIA-H800"}}}
    return {
        "apiVersion": API_VERSION,
        "kind": "AcceleratorPool",
        "metadata": {"name": name},
        "spec": {**smallest, **spec},
    }
