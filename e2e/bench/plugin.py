"""`plugin_help` and `plugin_queue`: how long a person waits for the plugin: its help, and a queue of 500 jobs.

What is timed is a whole process, as a shell starts it. Beside the time that passes stands the processor time of these
processes, which says more on a machine that others use.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.bench.figures import Figure, bench
from e2e.ground.api import Api
from e2e.ground.controlplane import ControlPlane
from e2e.ground.progress import Progress

JOBS = 500
_ROOT = Path(__file__).resolve().parents[2]
_RUNS = 11
_PROGRAM = (sys.executable, "-c", "from berth.cli.commands import kubectl; kubectl()")


@dataclass(frozen=True, slots=True)
class _Runs:
    """Seconds of each run: by the clock, and of the processor."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        return round(statistics.median(self.wall) * 1e3)

    @property
    def median_cpu_ms(self) -> float:
        return round(statistics.median(self.cpu) * 1e3)


@bench("plugin_help")
def plugin_help(progress: Progress) -> Figure:
    """The help, which imports nothing of weight."""
    progress.begin("plugin_help", "kubectl berth --help")
    found = _run("--help")
    progress.end(f"{found.median_ms} ms")
    return _figure("plugin_help", found, "at most 200 ms", {"what": "kubectl-berth --help, a whole process"})


@bench("plugin_queue")
def plugin_queue(progress: Progress) -> Figure:
    """The queue of a cluster, as one reads it."""
    progress.begin("plugin_queue", f"kubectl berth queue -A of {JOBS} jobs")
    with ControlPlane(components=("etcd", "kube-apiserver")) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(_ROOT / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(_ROOT / "crds"))
        _submit(plane.api)
        found = _run("queue", "-A", KUBECONFIG=str(plane.kubeconfig))
    progress.end(f"{found.median_ms} ms")
    what = {"what": "kubectl-berth queue -A, a whole process", "jobs": JOBS}
    return _figure("plugin_queue", found, "at most 1 s", what)


def _figure(name: str, found: _Runs, goal: str, what: dict[str, object]) -> Figure:
    conditions = {**what, "runs": _RUNS, "median_cpu_ms": found.median_cpu_ms, "cores": os.cpu_count()}
    return Figure(name=name, value=found.median_ms, unit="ms", goal=goal, conditions=conditions)


def _run(*words: str, **environment: str) -> _Runs:
    """Run the plugin again and again; the first time, which fills caches, does not count."""
    env: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(_ROOT / "operator"), **environment}
    wall, cpu = [], []
    for _ in range(_RUNS + 1):
        began, spent = time.monotonic(), _children()
        done = subprocess.run([*_PROGRAM, *words], env=env, capture_output=True, text=True, check=True)
        assert done.stdout, "a command that is timed prints something"
        wall.append(time.monotonic() - began)
        cpu.append(_children() - spent)
    return _Runs(tuple(wall[1:]), tuple(cpu[1:]))


def _children() -> float:
    """Processor seconds of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _submit(api: Api) -> None:
    """Jobs that wait, as an operator would have told them."""
    jobs = "/apis/berth.dev/v1alpha1/namespaces/default/trainingjobs"
    template = {"spec": {"containers": [{"name": "trainer", "image": "registry.example/trainer:1"}]}}
    message = "needs 4 free nodes under one leaf; the most free is 2 under spine-3/leaf-7 (of 8)"
    for number in range(1, JOBS + 1):
        name = f"job-{number}"
        spec = {"replicas": 4, "devicesPerReplica": 8, "template": template}
        metadata = {"name": name}
        api.create(
            jobs, {"apiVersion": "berth.dev/v1alpha1", "kind": "TrainingJob", "metadata": metadata, "spec": spec}
        )
        pending = {"reason": "TopologyBlocked", "message": message, "position": number}
        api.patch(f"{jobs}/{name}/status", {"status": {"state": "Pending", "priority": 0, "pending": pending}})
