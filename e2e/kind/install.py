"""Berth in a kind cluster: its images on the nodes, its CRDs, policies and operator.

Installed from `operator.yaml` beside this file, or with BERTH_KIND_CHART=1 by Helm from charts/berth.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from berth import __version__
from e2e.ground.binaries import Binaries
from e2e.ground.progress import Progress
from e2e.images import berth, oci
from e2e.kind.cluster import Cluster, ClusterError

NAMESPACE = "berth-system"
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
_CHART = berth.ROOT / "charts" / "berth"
_ROLLOUT_S = 180


def install(cluster: Cluster, *, progress: Progress, settings: Mapping[str, Any] = SETTINGS) -> None:
    """Load the images and install the operator; returns when its pods are ready."""
    load_images(cluster, progress=progress)
    progress.begin("berth", "installing")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": _namespace()})
    if os.environ.get("BERTH_KIND_CHART"):
        helm_install(cluster, settings)
    else:
        apply_manifests(cluster, settings)
    deployments = "deployment", "--all", "--namespace", NAMESPACE
    cluster.kubectl("wait", "--for=condition=Available", *deployments, f"--timeout={_ROLLOUT_S}s")
    progress.end(f"runs in namespace {NAMESPACE}")


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


def helm_install(cluster: Cluster, settings: Mapping[str, Any]) -> None:
    """Install or upgrade the chart."""
    helm = Binaries().ensure(["helm"])["helm"]
    values = {"settings": dict(settings), "image": {"pullPolicy": "Never", "repository": "berth", "tag": __version__}}
    command = [str(helm), "upgrade", "--install", "berth", str(_CHART), "--namespace", NAMESPACE, "--values", "-"]
    command += ["--wait", "--timeout", f"{_ROLLOUT_S}s", "--kubeconfig", str(cluster.kubeconfig)]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"helm upgrade --install berth: {done.stderr.strip()[-2000:]}")


def apply_manifests(cluster: Cluster, settings: Mapping[str, Any]) -> None:
    """CRDs, policies and the operator, as plain manifests."""
    cluster.kubectl("apply", "--server-side", "-f", str(berth.ROOT / "crds"), "-f", str(berth.ROOT / "policies"))
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "berth-settings", "namespace": NAMESPACE},
            "data": {"settings.yaml": yaml.safe_dump(dict(settings))},
        }
    )
    manifests = (_HERE / "operator.yaml").read_text().replace("berth:VERSION", berth.NAME)
    cluster.kubectl("apply", "-f", "-", stdin=manifests)


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
