"""Berth's chart on a control plane, and the operator as a process under the chart's own ServiceAccount.

There is no kubelet that could run the operator's image: its Deployment's pods are played by KWOK, like all others. The
operator is the process that other tests run, with the chart's settings file and the token of the chart's account.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.chart.generate import CHART, ROOT
from e2e.chart.helm import Helm, one
from e2e.ground.api import JsonObject
from e2e.ground.controlplane import ControlPlane
from e2e.ground.waiting import until
from tests.integration.scene import QUICK

NAMESPACE = "berth-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:berth"
IN_TIME = {**QUICK, "nodeGraceSeconds": 2, "unconfirmedPodSeconds": 4, "leaseSeconds": 3}


def install(
    helm: Helm,
    plane: ControlPlane,
    values: Mapping[str, Any] | None = None,
    *,
    upgrade: bool = False,
    chart: Path = ROOT / CHART,
) -> None:
    """Install or upgrade the release `berth`, and wait until its kinds are served."""
    verb = ["upgrade"] if upgrade else ["install", "--create-namespace"]
    helm.run(*verb, "berth", str(chart), "--namespace", NAMESPACE, values=values or {})
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))


def login(plane: ControlPlane, directory: Path, *, name: str = "berth", namespace: str = NAMESPACE) -> Path:
    """A kubeconfig with a token of a ServiceAccount: without a name the operator's, as its pod would have it."""
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
    until(lambda: not plane.api.gone(account), f"the ServiceAccount {namespace}/{name}", timeout_s=15)
    token = plane.api.create(f"{account}/token", {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    authority = base64.b64encode((plane.layout.pki / "ca.crt").read_bytes()).decode()
    path = directory / f"{name}.kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "own", "cluster": {"server": plane.server, "certificate-authority-data": authority}}
                ],
                "users": [{"name": "berth", "user": {"token": token}}],
                "contexts": [{"name": "own", "context": {"cluster": "own", "user": "berth"}}],
                "current-context": "own",
            }
        )
    )
    return path


def settings(plane: ControlPlane) -> dict[str, Any]:
    """The settings file that the chart has installed, with shorter waits."""
    found = plane.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/berth")
    return {**yaml.safe_load(found["data"]["settings.yaml"]), **IN_TIME}


def rendered(helm: Helm, kind: str) -> Iterable[JsonObject]:
    """Manifests of a kind, as the chart renders them by default."""
    return [manifest for manifest in helm.manifests() if manifest["kind"] == kind]


def deployment(helm: Helm) -> JsonObject:
    """The operator's Deployment."""
    return one(helm.manifests(), "Deployment")
