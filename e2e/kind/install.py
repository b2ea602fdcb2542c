"""Berth in a kind cluster: its images on the nodes, and its chart, as a platform team would install it."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.chart.generate import CHART
from e2e.chart.helm import Helm
from e2e.ground.binaries import Binaries
from e2e.ground.progress import Progress
from e2e.images import berth, oci
from e2e.kind.cluster import Cluster

NAMESPACE = "berth-system"
RELEASE = "berth"
TRAINER = "berth-trainer:e2e"
LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H800",
    "fabric.topograph.run/tier-0": "leaf-1",
    "fabric.topograph.run/tier-1": "spine-1",
}
SETTINGS: Mapping[str, Any] = {
    "leaseSeconds": 5.0,  # a leader that died is followed soon
    "nodeGraceSeconds": 5,  # a node that was killed is soon one
    "unconfirmedPodSeconds": 10,  # and its pods are not waited for as long as a production cluster would
}
_HERE = Path(__file__).parent
_ROLLOUT_S = 180.0


def install(cluster: Cluster, *, progress: Progress, settings: Mapping[str, Any] = SETTINGS) -> None:
    """Load the images and install the operator; returns when its pods are ready."""
    load_images(cluster, progress=progress)
    progress.begin("berth", "installing")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": _namespace()})
    upgrade(cluster, {"settings": dict(settings)})
    progress.end(f"runs in namespace {NAMESPACE}")


def helm(cluster: Cluster) -> Helm:
    """Helm for that cluster; its own files lie beside the kubeconfig."""
    Binaries().ensure(["helm"])
    directory = cluster.kubeconfig.parent / f"helm-{cluster.name}"
    directory.mkdir(exist_ok=True)
    return Helm(directory, kubeconfig=cluster.kubeconfig)


def upgrade(cluster: Cluster, values: Mapping[str, Any], *options: str) -> None:
    """Install or upgrade the release with its image from the nodes; returns when its pods are ready. HelmError."""
    command = ("upgrade", "--install", RELEASE, str(berth.ROOT / CHART), "--namespace", NAMESPACE, *options)
    image = {"pullPolicy": "Never", **values.get("image", {})}
    waiting = ("--wait", "--timeout", f"{_ROLLOUT_S:.0f}s")
    helm(cluster).run(*command, *waiting, values={**values, "image": image}, timeout_s=_ROLLOUT_S + 30)


def load_images(cluster: Cluster, *, progress: Progress) -> None:
    """Put Berth's image and the trainer's on every node."""
    with tempfile.TemporaryDirectory(prefix="berth-images-") as scratch:
        for name, archive in (
            (berth.NAME, Path(scratch) / "berth.tar"),
            (TRAINER, Path(scratch) / "trainer.tar"),
        ):
            if cluster.assembled:
                _assemble(name, archive, progress)
            else:
                _build(name, archive, cluster)
            cluster.load(archive)


def _assemble(name: str, archive: Path, progress: Progress) -> None:
    if name == berth.NAME:
        berth.assemble(name, archive, environ=os.environ, progress=progress)
        return
    base = berth.python_base(environ=os.environ, progress=progress)
    script = _HERE / "trainer" / "rendezvous.py"
    config = oci.Config(entrypoint=["/usr/bin/python3", "/trainer/rendezvous.py"], user=f"{berth.USER}:{berth.USER}")
    oci.write(archive, name, [oci.layer((base, "")), oci.layer((script, "trainer/rendezvous.py"))], config)


def _build(name: str, archive: Path, cluster: Cluster) -> None:
    if name == berth.NAME:
        berth.build(name, "docker")
    else:
        cluster.docker.run("build", "--tag", name, str(_HERE / "trainer"), timeout_s=600)
    cluster.docker.run("save", "--output", str(archive), name)


def _namespace() -> dict[str, Any]:
    """The namespace takes only pods that keep to the restricted Pod Security Standard."""
    return {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
