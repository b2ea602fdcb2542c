"""A kind cluster from create to delete.

Three nodes, two of which are workers with eight accelerators each in their status and labels of the network. The
accelerators are numbers: they are counted by the scheduler and survive a restart of the kubelet, and no device
appears in a container.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.ground.api import Api, JsonObject
from e2e.ground.binaries import Binaries, cache_root
from e2e.ground.progress import Progress
from e2e.ground.waiting import until
from e2e.kind import network, node
from e2e.kind.daemon import Docker, present, start

DEVICE = "nvidia.com/gpu"
DEVICES = 8
_SETTINGS = """kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  disableDefaultCNI: {assembled}
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  failCgroupV1: false  # without this no kubelet starts on cgroup v1; on v2 it says nothing
nodes:
- role: control-plane
"""
_CREATE_S = 420.0
_READY_S = 180.0


class ClusterError(RuntimeError):
    """A cluster could not be made or asked; the message holds what kind or kubectl said."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster; `api` speaks for its administrator."""

    name: str
    docker: Docker
    kubeconfig: Path
    programs: Mapping[str, Path]
    assembled: bool
    workers: Sequence[str]
    api: Api

    @classmethod
    def create(
        cls, name: str, *, workers: int = 2, stock: bool = False, environ: Mapping[str, str] = os.environ
    ) -> Self:
        """Make it, and wait until its nodes are Ready and its DNS answers.

        `stock` takes kind's own node image, which has to be pulled; else ours is made and taken.
        """
        progress = Progress()
        programs = Binaries(environ=environ, progress=progress).ensure(["kind", "kubectl"])
        docker = start(environ, progress=progress)
        image = [] if stock else ["--image", node.ensure(docker, environ=environ, progress=progress)]
        kubeconfig = _kubeconfig(name, environ)
        kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        settings = _SETTINGS.format(assembled=str(not stock).lower()) + "- role: worker\n" * workers
        progress.begin("cluster", f"{name}: {workers + 1} nodes")
        options = ["--name", name, "--kubeconfig", str(kubeconfig), "--config", "-", *image]
        done = subprocess.run(
            [str(programs["kind"]), "create", "cluster", *options], env=docker.environ, input=settings.encode(),
            capture_output=True, timeout=_CREATE_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ClusterError(f"kind create cluster {name}: {done.stderr.decode(errors='replace').strip()[-4000:]}")
        api = Api.from_kubeconfig(kubeconfig)
        made = cls(name, docker, kubeconfig, programs, not stock, _workers(name, workers), api)
        try:
            made.connect()
            made.wait_ready()
        except BaseException:
            made.delete()
            raise
        progress.end(f"{name} is ready; export KUBECONFIG={kubeconfig}")
        return made

    @classmethod
    def attach(
        cls, name: str, *, workers: int = 2, stock: bool = False, environ: Mapping[str, str] = os.environ
    ) -> Self:
        """The cluster of that name that was left up."""
        docker = present(environ)
        kubeconfig = _kubeconfig(name, environ)
        if docker is None or not kubeconfig.exists():
            raise ClusterError(f"no cluster {name} is up: {kubeconfig} is not there, or no Docker answers")
        programs = Binaries(environ=environ).ensure(["kind", "kubectl"])
        api = Api.from_kubeconfig(kubeconfig)
        return cls(name, docker, kubeconfig, programs, not stock, _workers(name, workers), api)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections to it; the cluster stays."""
        self.api.close()

    @property
    def nodes(self) -> list[str]:
        """Names of all nodes, which are also those of their containers."""
        return [f"{self.name}-control-plane", *self.workers]

    def connect(self) -> None:
        """Join the nodes' pod networks; again after a node was started again. kind's own image does that by itself."""
        if self.assembled:
            network.connect(self.docker, self.api, self.nodes)

    def wait_ready(self) -> None:
        """Wait until all nodes are Ready, DNS answers, and the rules of services are in place."""
        until(
            lambda: all(self.is_ready(name) for name in self.nodes),
            lambda: f"nodes to be Ready; they are {[self.is_ready(name) for name in self.nodes]}",
            timeout_s=_READY_S,
            poll_s=0.5,
        )
        for workload in ("daemonset/kube-proxy", "deployment/coredns"):
            self.kubectl("-n", "kube-system", "rollout", "status", workload, "--timeout=120s")
        # A kube-proxy that cannot write its rules is Running and Ready all the same; only its log tells.
        log = self.kubectl("-n", "kube-system", "logs", "-l", "k8s-app=kube-proxy", "--tail=-1")
        failed = [line for line in log.splitlines() if "Failed to execute iptables-restore" in line]
        if failed:
            raise ClusterError(f"kube-proxy cannot write its rules: {failed[-1]}")

    def is_ready(self, name: str) -> bool:
        """Whether a node says so, and its kubelet still renews it."""
        conditions = self.api.get(f"/api/v1/nodes/{name}")["status"].get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def accelerate(self, labels: Mapping[str, str]) -> None:
        """Give the workers devices in their status, and labels."""
        for name in self.workers:
            numbers = {kind: {DEVICE: str(DEVICES)} for kind in ("capacity", "allocatable")}
            self.api.patch(f"/api/v1/nodes/{name}/status", {"status": numbers})
            self.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": dict(labels)}})

    def load(self, archive: Path) -> None:
        """Put an image file on every node."""
        command = [str(self.programs["kind"]), "load", "image-archive", str(archive), "--name", self.name]
        done = subprocess.run(command, env=self.docker.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"{archive} cannot be loaded: {done.stderr.strip()[-2000:]}")

    def name_image(self, image: str, another: str) -> None:
        """Give an image that is on every node another name, by which it is one of another version to Kubernetes."""
        names = [f"docker.io/library/{name}" for name in (image, another)]
        for node_name in self.nodes:
            self.docker.run("exec", node_name, "ctr", "--namespace", "k8s.io", "images", "tag", "--force", *names)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Output of kubectl as the administrator; ClusterError with its words when it fails."""
        done = self.kubectl_result(*arguments, stdin=stdin)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)[:200]}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def kubectl_result(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """What kubectl said, whatever came of it."""
        command = [str(self.programs["kubectl"]), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300, check=False)

    def apply(self, manifest: JsonObject) -> None:
        """Apply one object."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def kill_node(self, name: str) -> None:
        """Lose a node at once, as by its power supply."""
        self.docker.run("kill", name)

    def start_node(self, name: str) -> None:
        """Bring a lost node back, and wait until it is Ready."""
        self.docker.run("start", name)
        self.connect()
        until(lambda: self.is_ready(name), f"{name} to be Ready again", timeout_s=_READY_S, poll_s=0.5)

    def delete(self) -> None:
        """Remove it."""
        self.api.close()
        delete(self.name, self.docker, self.programs["kind"])
        self.kubeconfig.unlink(missing_ok=True)


def _kubeconfig(name: str, environ: Mapping[str, str]) -> Path:
    return cache_root(environ) / "kind" / f"kubeconfig-{name}"


def _workers(name: str, count: int) -> list[str]:
    """Names as kind gives them: `NAME-worker`, `NAME-worker2` and so on."""
    return [f"{name}-worker{number if number > 1 else ''}" for number in range(1, count + 1)]


def delete(name: str, docker: Docker, kind: Path) -> None:
    """Remove a cluster by its name; one that is not there is no error."""
    command = [str(kind), "delete", "cluster", "--name", name]
    done = subprocess.run(command, env=docker.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"kind delete cluster {name}: {done.stderr.strip()[-2000:]}")
