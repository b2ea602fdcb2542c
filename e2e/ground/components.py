"""Command lines of the five programs of a control plane.

Limits are far above what one machine does, so that no throttle of the control plane shows up in a measurement of
its users: in-flight requests of the API server, request rates of the controllers and the scheduler.

Simulated nodes renew their leases every quarter of the lease's duration.  At the usual 40 s, 1,024 nodes cost 60 %
of a core for that alone; so leases last 200 s here, and the controller manager waits longer than that before it
calls a node lost.  Tests that need a lost node make one (``nodes.fail``) and need not wait.

All of them are Go programs with small heaps that change fast: as they come, a fifth of their time goes into collecting
garbage.  Memory is cheaper here, so the collector waits longer, up to a limit from which on it works as usual.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.ground.ports import LOOPBACK

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
PROGRAMS = (*COMPONENTS, "kubectl")
PORT_NAMES = ("kube-apiserver", "etcd", "etcd-peer", "kube-controller-manager", "kube-scheduler", "kwok")

# Nodes with this label are run by KWOK; a node that loses it is left alone, as if its kubelet had died.
KUBELET_LABEL = "sim.berth.dev/kubelet"
KUBELET_VALUE = "kwok"

ENVIRONMENT: Mapping[str, str] = {"GOGC": "300", "GOMEMLIMIT": "2500MiB"}

NODE_LEASE_S = 200
NODE_GRACE_S = 250
SERVICE_CLUSTER_RANGE = "10.96.0.0/16"
POD_RANGE = "10.128.0.1/10"
SERVER_HOSTS = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    LOOPBACK,
    "10.96.0.1",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a control plane keeps its files, and the ports of its programs."""

    root: Path
    ports: Mapping[str, int]

    @property
    def pki(self) -> Path:
        """Directory of certificates and keys."""
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator (group system:masters)."""
        return self.root / "kubeconfig"

    @property
    def stages(self) -> Path:
        """KWOK's stages."""
        return self.root / "stages.yaml"

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self.url("kube-apiserver")

    def url(self, name: str) -> str:
        """Address of a port by its name."""
        return f"https://{LOOPBACK}:{self.ports[name]}"

    def component_kubeconfig(self, component: str) -> Path:
        """Kubeconfig of one component, which has its own identity."""
        return self.root / f"{component}.kubeconfig"

    def log(self, component: str) -> Path:
        """Log file of one component."""
        return self.root / f"{component}.log"


def arguments(component: str, layout: Layout) -> list[str]:
    """Arguments of a component, without its program's path."""
    return {
        "etcd": _etcd,
        "kube-apiserver": _kube_apiserver,
        "kube-controller-manager": _kube_controller_manager,
        "kube-scheduler": _kube_scheduler,
        "kwok": _kwok,
    }[component](layout)


def _etcd(at: Layout) -> list[str]:
    client, peer, pki = at.url("etcd"), at.url("etcd-peer"), at.pki
    return [
        "--name=ground",
        f"--data-dir={at.root / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=ground={peer}",
        f"--cert-file={pki / 'server.crt'}",
        f"--key-file={pki / 'server.key'}",
        f"--trusted-ca-file={pki / 'ca.crt'}",
        "--client-cert-auth",
        f"--peer-cert-file={pki / 'server.crt'}",
        f"--peer-key-file={pki / 'server.key'}",
        f"--peer-trusted-ca-file={pki / 'ca.crt'}",
        "--peer-client-cert-auth",
        # Data survive the death of the process, though not of the machine, and a disk sync is saved per write.
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={8 << 30}",
        "--log-level=warn",
    ]


def _kube_apiserver(at: Layout) -> list[str]:
    pki = at.pki
    return [
        f"--etcd-servers={at.url('etcd')}",
        f"--etcd-cafile={pki / 'ca.crt'}",
        f"--etcd-certfile={pki / 'server.crt'}",
        f"--etcd-keyfile={pki / 'server.key'}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={at.ports['kube-apiserver']}",
        *_serving(at),
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICE_CLUSTER_RANGE}",
        "--allow-privileged=true",
        "--max-requests-inflight=5000",
        "--max-mutating-requests-inflight=2500",
        # It gives every new node a taint that the controller manager takes off a Ready one, with two more requests;
        # simulated nodes are Ready when they are created. 847 of them took 12.6 s with it and 4.8 s without.
        "--disable-admission-plugins=TaintNodesByCondition",
    ]


def _kube_controller_manager(at: Layout) -> list[str]:
    pki = at.pki
    return [
        f"--kubeconfig={at.component_kubeconfig('kube-controller-manager')}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={at.ports['kube-controller-manager']}",
        *_serving(at),
        "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        # Its own identity may do little; each controller has a role of its own.
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--controllers=*,-nodeipam",
        f"--node-monitor-grace-period={NODE_GRACE_S}s",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]


def _kube_scheduler(at: Layout) -> list[str]:
    return [
        f"--kubeconfig={at.component_kubeconfig('kube-scheduler')}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={at.ports['kube-scheduler']}",
        *_serving(at),
        "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def _kwok(at: Layout) -> list[str]:
    return [
        f"--kubeconfig={at.component_kubeconfig('kwok')}",
        f"--config={at.stages}",
        f"--manage-nodes-with-label-selector={KUBELET_LABEL}={KUBELET_VALUE}",
        f"--node-lease-duration-seconds={NODE_LEASE_S}",
        f"--server-address={LOOPBACK}:{at.ports['kwok']}",
        f"--cidr={POD_RANGE}",
        *_serving(at),
    ]


def _serving(at: Layout) -> list[str]:
    return [f"--tls-cert-file={at.pki / 'server.crt'}", f"--tls-private-key-file={at.pki / 'server.key'}"]
