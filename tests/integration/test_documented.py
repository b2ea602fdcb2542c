"""What the documents tell people to type works, word for word, in the order in which they would."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.chart.generate import ROOT
from e2e.chart.helm import tool
from e2e.ground import nodes, stages
from e2e.ground.binaries import Binaries
from e2e.ground.controlplane import ControlPlane
from e2e.ground.processes import Child
from e2e.ground.waiting import until
from e2e.kind.install import LABELS
from tests.documented import STORIES, answers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

H800 = {"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": "8"}
ROOM = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "20Gi", "pods": "20"}
SECONDS = 120.0
JOBS = "/apis/berth.dev/v1alpha1/namespaces/{}/trainingjobs"


class Person:
    """Somebody with a clone of the repository, a shell, and a kubeconfig."""

    def __init__(self, plane: ControlPlane, binaries: Binaries, home: Path) -> None:
        self.plane = plane
        self.home = home
        for name in ("charts", "crds", "examples", "policies", "scenarios"):
            (home / name).symlink_to(ROOT / name)
        programs = home / "bin"
        programs.mkdir()
        for name in ("kubectl", "helm"):
            (programs / name).symlink_to(tool(name, binaries))
        for name, module, function in (
            ("berth", "berth.__main__", "main"),
            ("kubectl-berth", "berth.cli.commands", "kubectl"),
        ):
            # As pip writes them from pyproject.toml.
            (programs / name).write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
            (programs / name).chmod(0o755)
        self.environ = {
            **os.environ,
            "PATH": f"{programs}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(plane.kubeconfig),
            "HOME": str(home),
            "COLUMNS": "80",
        }

    def types(self, command: str) -> str:
        """Run a line in a shell; what it printed. It has to end with 0."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.home, env=self.environ, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def runs(self, command: str) -> "Running":
        """Start `berth run` as it was typed, but for the port: this machine's may be taken."""
        return Running(command, self.home, self.environ)


class Running:
    """`berth run`, typed into a shell; it leads when this returns."""

    def __init__(self, command: str, home: Path, environ: Mapping[str, str]) -> None:
        line = f"cd {home} && exec {command} --listen 127.0.0.1:0"
        self._child = Child("berth", ["/bin/bash", "-c", line], log=home / "berth.log", env=dict(environ))
        self._from = self._child.log.stat().st_size if self._child.log.exists() else 0
        self._child.start()
        try:
            until(lambda: self._said("leading"), "the operator to lead", timeout_s=60)
            until(self._ready, "the operator to be ready", timeout_s=60)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int | None:
        """End it in good order; its exit code."""
        self._child.stop(grace_s=15)
        return self._child.returncode

    def get(self, path: str) -> str:
        """What it answers on its port."""
        (line,) = self._said("listening")
        with urllib.request.urlopen(f"http://{line['address']}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def _ready(self) -> bool:
        try:
            return bool(self.get("/readyz"))
        except OSError:
            return False

    def _said(self, message: str) -> list[dict[str, Any]]:
        self._child.check()
        with self._child.log.open() as log:
            log.seek(self._from)
            lines = [json.loads(line) for line in log.read().split("\n")[:-1] if line.startswith("{")]
        return [line for line in lines if line["message"] == message]


@pytest.fixture
def person(programs: Binaries, tmp_path: Path) -> Iterator[Person]:
    """On a control plane of their own, with six H800 nodes under three leaves and two for what a chart installs."""
    with ControlPlane(binaries=programs) as plane:
        leaves = [{**LABELS, "fabric.topograph.run/tier-0": f"leaf-{number // 2 + 1}"} for number in range(6)]
        machines = [nodes.manifest(f"h800-n{n:02}", resources=H800, labels=labels) for n, labels in enumerate(leaves)]
        nodes.add(plane.api, [*machines, *(nodes.manifest(f"infra-{n}", resources=ROOM) for n in (1, 2))])
        yield Person(plane, programs, tmp_path)


def job(name: str, replicas: int, devices: int = 8, *, fails: bool = False, **spec: Any) -> dict[str, Any]:
    """A TrainingJob; one that `fails` does so at once."""
    sim = {stages.RUN_SECONDS: "0.5", stages.FAIL_SECONDS: "0.2", stages.EXIT_CODE: "3"} if fails else {}
    containers = [{"name": "trainer", "image": "registry.example/trainer:1"}]
    template = {"metadata": {"annotations": sim}, "spec": {"containers": containers}}
    body = {"replicas": replicas, "devicesPerReplica": devices, "template": template, **spec}
    return {
        "apiVersion": "berth.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name}, "spec": body,
    }  # fmt: skip


def state(person: Person, namespace: str, name: str) -> str:
    """What a job's status says; empty before the operator has seen it."""
    found = person.plane.api.get(f"{JOBS.format(namespace)}/{name}").get("status", {})
    return str(found.get("state", ""))


def reaches(person: Person, namespace: str, name: str, wanted: str) -> None:
    """Wait until a job is in a state."""
    until(
        lambda: state(person, namespace, name) == wanted,
        lambda: f"{namespace}/{name} to be {wanted}: {person.types(f'kubectl describe tj {name} -n {namespace}')}",
        timeout_s=180,
        poll_s=0.5,
    )


Step = Callable[[], object]


def live(person: Person, story: str, *, before: Mapping[str, Step], instead: Mapping[str, Step]) -> dict[str, str]:
    """Type the commands of a story, each after what has to be there for it; what they printed.

    `instead` are those that do not end by themselves.
    """
    assert [command for command in (*before, *instead) if command not in STORIES[story]] == []
    answered = answers()
    printed: dict[str, str] = {}
    for command in STORIES[story]:
        before.get(command, _nothing)()
        if command in instead:
            instead[command]()
            continue
        printed[command] = person.types(command)
        if command in answered:
            first = printed[command].partition("\n")[0]
            assert (command, first.split()) == (command, answered[command].split())
    return printed


def _nothing() -> None:
    """Most commands need nothing but those before them."""


def test_by_hand(person: Person) -> None:
    """Kinds and policies from a clone, an operator in a shell, a pool, jobs, the plugin, and the end of it."""
    api, running = person.plane.api, list[Running]()

    def run_for_a_moment() -> None:
        assert person.runs("berth run").stop() == 0

    def run() -> None:
        (person.home / "settings.yaml").write_text("leaseSeconds: 3\n")
        running.append(person.runs("berth run --config settings.yaml"))

    def end() -> None:
        assert running[0].stop() == 0

    def jobs() -> None:
        """What the guide has: one that waits, one that fails and ends before the other may start, two to be planned."""
        spine = {"level": "spine", "policy": "Required"}
        api.create(JOBS.format("vision"), job("llama", 4, topology=spine))
        api.create(JOBS.format("vision"), job("flaky", 1, fails=True, backoffLimit=1, maxDuration="10m"))
        api.create(JOBS.format("llm"), job("llama", 6))
        large = job("large", 3, topology={"level": "leaf", "policy": "Required"})
        for name, planned in (("job.yaml", large), ("small.yaml", job("fits", 1, 4, maxDuration="30m"))):
            planned["metadata"]["namespace"] = "vision"
            (person.home / name).write_text(yaml.safe_dump(planned))
        reaches(person, "vision", "llama", "Pending")

    def from_readme() -> None:
        for block in re.findall(
            r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL
        ):
            (person.home / "readme.yaml").write_text(block)
            person.types("kubectl apply -f readme.yaml")
        until(lambda: state(person, "default", "resnet"), "the job of README to be seen", timeout_s=30)

    def pool() -> bool:
        status = api.get("/apis/berth.dev/v1alpha1/acceleratorpools/h800").get("status", {})
        return bool(status.get("nodes", {}).get("total") == 6)

    try:
        printed = live(
            person,
            "by hand",
            before={
                "berth run": lambda: person.types("kubectl wait --for=condition=Established -f crds/ --timeout=30s"),
                "kubectl get apool": lambda: until(pool, "the pool's status", timeout_s=30),
                "kubectl get tj -n vision -o wide": lambda: reaches(person, "vision", "resnet", "Running"),
                "kubectl get tj -o wide": from_readme,
                "kubectl berth queue": jobs,
                "kubectl berth history flaky -n vision": lambda: reaches(person, "vision", "flaky", "Failed"),
                "berth replay cycle.json": lambda: (person.home / "cycle.json").write_text(
                    running[0].get("/debug/snapshot")
                ),
                "kubectl berth release --all -n vision": end,
            },
            instead={"berth run": run_for_a_moment, "berth run --config settings.yaml": run},
        )
    finally:
        for operator in running:
            operator.stop()

    assert "kubectl-berth" in printed["kubectl plugin list"]
    assert printed["berth replay cycle.json"].splitlines()[-1] == "the same plan as the operator's"
    assert "resnet" in printed["kubectl get tj -n vision -o wide"]
    assert "vision/llama" not in printed["kubectl berth queue"]
    assert "Ready" in printed["kubectl describe apool h800"]


def test_with_helm(person: Person) -> None:
    """From nothing to a release, over upgrades and back, to nothing."""
    images: list[str] = []

    def image() -> None:
        found = person.plane.api.get("/apis/apps/v1/namespaces/berth-system/deployments/berth")
        images.append(found["spec"]["template"]["spec"]["containers"][0]["image"])

    printed = live(
        person,
        "with Helm",
        before={"kubectl delete crd trainingjobs.berth.dev acceleratorpools.berth.dev": image},
        instead={},
    )

    assert "successfully rolled out" in printed["kubectl rollout status -n berth-system deployment/berth"]
    rights = printed["kubectl auth can-i --list --as=system:serviceaccount:berth-system:berth"]
    assert "trainingjobs.berth.dev/status" in rights
    assert [image.rpartition(":")[0] for image in images] == ["registry.example/ml/berth"]
    left = person.types("kubectl get crds,validatingadmissionpolicies -o name").split()
    # The second release is still there; the fence, which an uninstall would leave, is not.
    assert [name for name in left if name.endswith((".berth.dev", "/berth-fence"))] == []
