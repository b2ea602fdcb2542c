"""Which programs the ground consists of, and the Go modules that they are built from.

Go modules are the one source that is at hand wherever a Go proxy is: no image registry and no release download
is needed, and the checksum database vouches for what arrives.  Another program is one more line in ``MODULES``:
everything else (search, build, cache, version checks) reads this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

GO_MINIMUM = (1, 26)


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module and the programs that are built from it.

    ``packages`` maps a program's name to the package of its main function.  ``variables`` are the string
    variables that tell the program its own version; the linker sets them.  ``staging`` names the version of the
    modules that this one replaces by directories of its own source tree: such a module can neither be installed
    by ``go install`` nor required as it is, so its replacements are redirected to their published versions.
    ``files`` are copied out of the module's source to the cache, relative path to file name.  ``minimum`` is the
    oldest version that is taken from elsewhere, ``exclusive_maximum`` the first one that no longer is.
    ``main`` is the source of a program of our own that is built from this module's packages, ``tags`` are build tags.
    ``cold_build_s`` is how long the build took with empty caches on 2 cores, an estimate shown to the user.
    """

    key: str
    path: str
    version: str
    packages: Mapping[str, str]
    minimum: tuple[int, int]
    exclusive_maximum: tuple[int, int]
    cold_build_s: int
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    staging: str | None = None
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    main: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """Name of the module's directory in the cache, for instance ``kubernetes-v1.36.3``."""
        return f"{self.key}-{self.version}"


KUBERNETES = Module(
    key="kubernetes",
    path="k8s.io/kubernetes",
    version="v1.36.3",
    packages={
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    },
    variables={
        "k8s.io/component-base/version.gitVersion": "v1.36.3",
        "k8s.io/component-base/version.gitMajor": "1",
        "k8s.io/component-base/version.gitMinor": "36",
        "k8s.io/component-base/version.gitTreeState": "clean",
    },
    staging="v0.36.3",
    files={"api/openapi-spec/swagger.json": "openapi.json"},
    minimum=(1, 36),
    exclusive_maximum=(1, 37),
    cold_build_s=470,
)

# An etcd older than 3.6 lacks the progress notices without which streaming lists of the API server fail.
ETCD = Module(
    key="etcd",
    path="go.etcd.io/etcd/server/v3",
    version="v3.6.16",
    packages={"etcd": "go.etcd.io/etcd/server/v3"},
    minimum=(3, 6),
    exclusive_maximum=(4, 0),
    cold_build_s=80,
)

KWOK = Module(
    key="kwok",
    path="sigs.k8s.io/kwok",
    version="v0.8.0",
    packages={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    minimum=(0, 8),
    exclusive_maximum=(0, 9),
    cold_build_s=110,
    files={
        f"kustomize/stage/{path}.yaml": f"{path.rpartition('/')[2]}.yaml"
        for path in (
            "node/fast/node-initialize",
            "node/heartbeat-with-lease/node-heartbeat-with-lease",
            "pod/fast/pod-ready",
            "pod/fast/pod-delete",
        )
    },
)

# What only a node of real containers needs (``e2e.kind``), beside the programs of the control plane.
KUBERNETES_NODE = replace(
    KUBERNETES,
    packages={name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kubelet", "kubeadm", "kube-proxy")},
    files={},
    cold_build_s=300,
)

CONTAINERD = Module(
    key="containerd",
    path="github.com/containerd/containerd/v2",
    version="v2.3.7",
    packages={
        name: f"github.com/containerd/containerd/v2/cmd/{name}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
    variables={"github.com/containerd/containerd/v2/version.Version": "v2.3.7"},
    minimum=(2, 3),
    exclusive_maximum=(2, 4),
    cold_build_s=300,
    tags=("no_aufs", "no_zfs", "no_btrfs", "no_devmapper"),
)

# The plugins of kubeadm's Corefile, and no more: with all of CoreDNS' own the build takes several times as long.
_COREDNS_PLUGINS = ("cache", "errors", "forward", "health", "kubernetes", "loadbalance", "log", "loop", "metrics",
                    "ready", "reload")  # fmt: skip

# The version that kubeadm of KUBERNETES asks for.
COREDNS = Module(
    key="coredns",
    path="github.com/coredns/coredns",
    version="v1.14.2",
    packages={"coredns": "."},
    minimum=(1, 14),
    exclusive_maximum=(1, 15),
    cold_build_s=300,
    main="\n".join(
        [
            "package main",
            "import (",
            '"github.com/coredns/coredns/coremain"',
            *(f'_ "github.com/coredns/coredns/plugin/{name}"' for name in _COREDNS_PLUGINS),
            ")",
            "func main() { coremain.Run() }",
            "",
        ]
    ),
)

KIND = Module(
    key="kind",
    path="sigs.k8s.io/kind",
    version="v0.33.0",
    packages={"kind": "sigs.k8s.io/kind"},
    minimum=(0, 33),
    exclusive_maximum=(0, 34),
    cold_build_s=15,
)

# What the chart is checked with: no part of a control plane, built when they are asked for.
HELM = Module(
    key="helm",
    path="helm.sh/helm/v4",
    version="v4.3.1",
    packages={"helm": "helm.sh/helm/v4/cmd/helm"},
    minimum=(4, 3),
    exclusive_maximum=(5, 0),
    cold_build_s=400,
    variables={"helm.sh/helm/v4/internal/version.version": "v4.3.1"},
)

KUBECONFORM = Module(
    key="kubeconform",
    path="github.com/yannh/kubeconform",
    version="v0.8.0",
    packages={"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
    minimum=(0, 8),
    exclusive_maximum=(0, 9),
    cold_build_s=20,
)

KUBE_SCORE = Module(
    key="kube-score",
    path="github.com/zegl/kube-score",
    version="v1.20.0",
    packages={"kube-score": "github.com/zegl/kube-score/cmd/kube-score"},
    minimum=(1, 20),
    exclusive_maximum=(2, 0),
    cold_build_s=90,
)

CONTROL_PLANE: tuple[Module, ...] = (ETCD, KUBERNETES, KWOK)
"""What ``make ground`` builds."""

CHART_TOOLS: tuple[Module, ...] = (HELM, KUBECONFORM, KUBE_SCORE)
"""What ``make tools`` builds."""

KIND_NODE: tuple[Module, ...] = (KUBERNETES_NODE, CONTAINERD, COREDNS, KIND)
"""What ``make e2e`` builds beside them."""

MODULES: tuple[Module, ...] = (*CONTROL_PLANE, *CHART_TOOLS, *KIND_NODE)

MODULE_OF: Mapping[str, Module] = MappingProxyType({name: module for module in MODULES for name in module.packages})
