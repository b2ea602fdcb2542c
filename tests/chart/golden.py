"""Sets of values whose rendered manifests are checked in under `tests/golden`: what a change of the chart does is seen.

`make golden` writes them anew; the difference is to be read before it is committed. CRDs and policies are left out:
they have files of their own, from which they are made.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from berth.api.generated import main
from e2e.chart.generate import ROOT
from e2e.chart.helm import Helm
from e2e.chart.policies import read

BARE: dict[str, Any] = {
    "crds": {"install": False},
    "policies": {policy.key: {"enabled": False} for policy in read(ROOT / "policies")},
}
"""Without what is generated from elsewhere."""

PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}

SETS: dict[str, dict[str, Any]] = {
    "default": {},
    "single": {
        "replicas": 1,
        "settings": {"mode": "Observe", "leaseNamespace": "berth-system", "leaseName": "lab"},
        "rbac": {"deviceHealth": False, "aggregate": False},
        "networkPolicy": {"enabled": False},
        "priorityClass": {"create": False, "name": ""},
        "metrics": {"service": {"enabled": False}},
    },
    "full": {
        "nameOverride": "scheduler",
        "image": {"repository": "registry.example/berth", "digest": "sha256:" + "a" * 64, "pullSecrets": ["pull"]},
        "replicas": 3,
        "logLevel": "debug",
        "settings": {"listen": "0.0.0.0:9090", "assumedSeconds": 2592000, "podPriorityClass": "gangs"},
        "serviceAccount": {"name": "operator", "annotations": {"a": "b"}},
        "rbac": {"blockOwnerDeletion": True},
        "metrics": {
            "service": {"annotations": {"a": "b"}},
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "rules": {"enabled": True, "labels": {"release": "prometheus"}},
        },
        "networkPolicy": {
            "scrapers": [PROMETHEUS],
            "extraEgress": [{"ports": [{"port": 53, "protocol": "UDP"}]}],
        },
        "flowSchema": {"enabled": True},
        "pod": {
            "labels": {"team": "platform"},
            "annotations": {"a": "b"},
            "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
            "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}
                        ]
                    }
                }
            },
            "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
            "resources": {"limits": {"cpu": 2, "memory": "2Gi"}},
            "terminationGracePeriodSeconds": 60,
        },
    },
}


def rendered(helm: Helm) -> dict[str, str]:
    """The manifests of each set, file name to text."""
    return {f"{name}.yaml": helm.render({**BARE, **values}) for name, values in SETS.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(main(rendered(Helm(Path(directory))), "the rendered manifests"))
