"""The rendered manifests before the usual judges: kubeconform, kube-score, and the chart's own rules."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from berth.app.metrics.reference import definitions
from e2e.chart import schemas
from e2e.chart.helm import Helm, Manifest, one, tool
from e2e.ground.binaries import Binaries
from tests.chart.golden import PROMETHEUS, SETS

pytestmark = pytest.mark.chart

SCORED_OTHERWISE = {
    "container-image-pull-policy": "tags of releases do not move, and an image loaded into a node must be usable",
    "pod-networkpolicy": "told of a set that switches the NetworkPolicy off",
}
"""Critical findings of kube-score that the chart does not share, with the reason."""


@pytest.fixture(scope="session")
def location(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where kubeconform finds its schemas."""
    return schemas.write(Binaries().openapi(), tmp_path_factory.mktemp("schemas"))


def conform(location: str, text: str) -> dict[str, Any]:
    """What kubeconform says of manifests."""
    options = ["-strict", "-output", "json", "-verbose", "-schema-location", location]
    skipped = ["-skip", "ServiceMonitor,PrometheusRule"]
    done = subprocess.run(
        [str(tool("kubeconform")), *options, *skipped],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", SETS)
def test_every_manifest_is_as_kubernetes_wants_it(helm: Helm, location: str, name: str) -> None:
    """Field by field; only the kinds of the Prometheus Operator are not known here."""
    told = conform(location, helm.render(SETS[name]))["resources"]
    wrong = [entry for entry in told if entry["status"] not in ("statusValid", "statusSkipped")]
    assert wrong == []
    skipped = {entry["kind"] for entry in told if entry["status"] == "statusSkipped"}
    assert skipped <= {"ServiceMonitor", "PrometheusRule"}
    assert len(told) > 10


def test_a_misspelt_field_would_be_found(helm: Helm, location: str) -> None:
    """The schemas are closed, nested ones included."""
    text = helm.render().replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
    told = conform(location, text)["resources"]
    (wrong,) = [entry for entry in told if entry["status"] not in ("statusValid", "statusSkipped")]
    assert wrong["kind"] == "Deployment"
    assert "readOnlyRootFileSystem" in wrong["msg"]


@pytest.mark.parametrize("name", SETS)
def test_nothing_critical_is_found(helm: Helm, name: str) -> None:
    """By kube-score, but for what is not shared, with reasons."""
    ignored = {"container-image-pull-policy"} | ({"pod-networkpolicy"} if name == "single" else set())
    assert ignored <= SCORED_OTHERWISE.keys()
    options = ["--output-format", "json", "--ignore-container-cpu-limit"]
    for test in sorted(ignored):
        options += ["--ignore-test", test]
    done = subprocess.run(
        [str(tool("kube-score")), "score", *options, "-"],
        input=helm.render(SETS[name]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert list(critical(json.loads(done.stdout))) == []
    assert done.returncode == 0, done.stderr


def critical(scored: list[dict[str, Any]]) -> Iterator[str]:
    """Findings of the lowest grade."""
    for found in scored:
        for check in found["checks"]:
            if check["grade"] == 1 and not check["skipped"]:
                comments = [comment["summary"] for comment in check["comments"] or ()]
                yield f"{found['object_name']}: {check['check']['id']}: {comments}"


@pytest.mark.parametrize("name", SETS)
def test_no_rule_has_a_wildcard_and_none_is_there_twice(helm: Helm, name: str) -> None:
    """Each (group, resource, verb) of a role is granted once, and by name."""
    roles = [m for m in helm.manifests(SETS[name]) if m["kind"] in ("ClusterRole", "Role")]
    assert roles
    for role in roles:
        granted = [
            (group, resource, verb, tuple(rule.get("resourceNames", ())))
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        ]
        assert [grant for grant in granted if "*" in "".join(grant[:3])] == []
        assert len(granted) == len(set(granted))


def operator_role(manifests: list[Manifest]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = one(manifests, "ClusterRole", "berth")["rules"]
    return rules


def test_the_operator_can_neither_read_secrets_nor_run_anything_in_pods_nor_change_rights(helm: Helm) -> None:
    """Nor what a job asks for, nor nodes."""
    rules = operator_role(helm.manifests())
    resources = {resource for rule in rules for resource in rule["resources"]}
    forbidden = {"secrets", "pods/exec", "pods/attach", "serviceaccounts", "serviceaccounts/token", "clusterroles"}
    assert resources & forbidden == set()
    writes = {"create", "update", "patch", "delete", "deletecollection"}
    (jobs,) = [rule["verbs"] for rule in rules if rule["resources"] == ["trainingjobs"]]
    (nodes,) = [rule["verbs"] for rule in rules if rule["resources"] == ["nodes"]]
    assert (set(jobs) & writes, set(nodes) & writes) == ({"delete"}, set())


def test_nobody_reaches_the_port_of_the_metrics_unless_named(helm: Helm) -> None:
    """It serves the names of all jobs."""
    policy = one(helm.manifests(), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == []
    named = one(helm.manifests({"networkPolicy": {"scrapers": [PROMETHEUS]}}), "NetworkPolicy")["spec"]
    assert named["ingress"] == [{"from": [PROMETHEUS], "ports": [{"port": "metrics", "protocol": "TCP"}]}]


def test_alerts_are_well_formed_and_ask_only_for_metrics_that_there_are(helm: Helm) -> None:
    """A metric that was renamed would be an alert that never fires."""
    rule = one(helm.manifests(SETS["full"]), "PrometheusRule", "scheduler")
    alerts = [alert for group in rule["spec"]["groups"] for alert in group["rules"]]
    known = {f"{d.name}{suffix}" for d in definitions() for suffix in ("", "_bucket", "_sum", "_count")}
    for alert in alerts:
        promql_parser.parse(alert["expr"])
        asked = set(_metrics(alert["expr"]))
        assert asked, alert["alert"]
        assert asked <= known, alert["alert"]
        assert {"summary", "description"} <= alert["annotations"].keys()
        assert alert["labels"]["severity"] in ("critical", "warning", "info")


def _metrics(expression: str) -> Iterator[str]:
    yield from re.findall(r"\bberth_\w+", expression)


def test_the_pods_template_asks_for_nothing_that_is_left_to_chance(helm: Helm) -> None:
    """User, root, capabilities and profile are said; the settings are mounted as a whole, so that they can change."""
    pod = one(helm.manifests(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [volume.keys() - {"name"} for volume in pod["volumes"]] == [{"configMap"}]
    assert [mount.get("subPath") for mount in container["volumeMounts"]] == [None]
