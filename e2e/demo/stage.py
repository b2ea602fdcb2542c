"""What has to stand before the first gang: control plane, CRDs, nodes, pool, namespace, and Berth as its own process.

Everything is a child of this process and ends with it, however it ends (`e2e.ground.processes`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.demo.workload import Workload, compress, read
from e2e.ground import nodes
from e2e.ground.api import Api, ApiError
from e2e.ground.controlplane import ControlPlane
from e2e.ground.model import ClusterModel, Place, Pool
from e2e.ground.waiting import until
from e2e.running import OperatorProcess

ROOT = Path(__file__).resolve().parents[2]
TRACE = ROOT / "e2e" / "models" / "kalos319.csv"
MODEL = ROOT / "e2e" / "models" / "lingjun-h800.yaml"
CRDS = ROOT / "crds"
POOL = ROOT / "examples" / "10-pool-h800.yaml"
NAMESPACE = "kalos"

# What nobody looks at is left out: 12,500 pods in two minutes leave no room for it on two cores.
_LEASE_S = 3600
_GRACE_S = 2.0
_IDLE = (
    "endpoints",
    "endpointslice",
    "endpointslice-mirroring",
    "replicationcontroller",
    "replicaset",
    "deployment",
    "daemonset",
    "statefulset",
    "job",
    "cronjob",
    "horizontal-pod-autoscaler",
    "ephemeral-volume",
    "persistentvolume-attach-detach",
    "persistentvolume-binder",
    "persistentvolume-expander",
    "persistentvolumeclaim-protection",
    "persistentvolume-protection",
    "resourceclaim",
    "resourcequota",
)
_ARGUMENTS = {
    # Endpoints of the gangs' Services: 1.6 writes for each pod, for addresses that simulated pods do not have. And
    # controllers that look at every pod for the sake of kinds that are not there.
    "kube-controller-manager": [
        "--controllers=" + ",".join(f"-{name}-controller" for name in _IDLE),
        f"--node-monitor-grace-period={_LEASE_S + 600}s",
    ],
    # 847 nodes would renew 17 leases a second.
    "kwok": [f"--node-lease-duration-seconds={_LEASE_S}"],
}
_SIMULATION = Path(__file__).with_name("simulation.yaml")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fabric:
    """The simulated cluster as the demo draws and judges it: one pool, its levels widest first, its hosts in order."""

    model: ClusterModel
    pool: Pool
    hosts: tuple[Place, ...]

    @classmethod
    def load(cls, path: Path = MODEL) -> "Fabric":
        """Read a cluster model of one pool; ModelError when something is wrong with it."""
        model = ClusterModel.load(path)
        [pool] = model.pools
        return cls(model, pool, tuple(model.places(pool)))

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels, widest first."""
        return tuple(level.name for level in self.pool.levels)

    @property
    def devices(self) -> int:
        """Devices in all."""
        return len(self.hosts) * self.pool.device.count

    def sizes(self, depth: int) -> list[int]:
        """Hosts of each domain at a level (0: the widest), largest first."""
        return sorted(Counter(host.domains[depth] for host in self.hosts).values(), reverse=True)

    def workload(self, *, speed: float = 1.0, gangs: int | None = None, seed: int = 1) -> Workload:
        """The trace's gangs, pressed together for this cluster; see `e2e.demo.workload.compress`."""
        return compress(
            read(TRACE),
            devices=self.devices,
            per_node=self.pool.device.count,
            largest=self.largest(),
            speed=speed,
            gangs=gangs,
            seed=seed,
        )

    def largest(self) -> dict[str, int]:
        """Hosts of the largest domain by level, narrowest first."""
        return {level: self.sizes(depth)[0] for depth, level in reversed(list(enumerate(self.levels)))}


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands: the control plane, the hosts, and the operator."""

    plane: ControlPlane
    fabric: Fabric
    operator: OperatorProcess


@contextmanager
def stage(fabric: Fabric, say: Say) -> Iterator[Stage]:
    """Set everything up, and take it down at the end. `say` is told of each step that begins."""
    say("starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK")
    with ControlPlane(extra_args=_ARGUMENTS, stages_file=_SIMULATION) as plane:
        say("installing Berth's CRDs")
        install(plane)
        say(f"adding {len(fabric.hosts)} hosts with {fabric.pool.device.count} devices each")
        nodes.add(plane.api, fabric.model.manifests())
        say("starting Berth")
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        plane.kubectl("apply", "-f", str(POOL))
        with OperatorProcess(plane.kubeconfig, plane.directory) as operator:
            try:
                until(lambda: _counted(plane.api, fabric), "the pool to count its nodes", timeout_s=30)
                yield Stage(plane, fabric, operator)
            finally:
                # It would first carry out what it has begun, in a cluster that is about to go.
                operator.stop(grace_s=_GRACE_S)


def install(plane: ControlPlane) -> None:
    """Install the CRDs and wait until they are served."""
    plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))


def _counted(api: Api, fabric: Fabric) -> bool:
    """Whether Berth reports the pool with all of its devices."""
    try:
        found = api.get(f"/apis/berth.dev/v1alpha1/acceleratorpools/{fabric.pool.name}")
    except ApiError:
        return False
    devices = found.get("status", {}).get("devices", {})
    return int(devices.get("total", 0)) == fabric.devices
