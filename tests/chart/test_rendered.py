"""What Helm makes of values: rendered manifests as they are checked in, refusals, and what derives from what."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

import berth
from berth.api import crd
from berth.app.settings import FIXED, Settings, load
from e2e.chart.generate import CHART, ROOT, files
from e2e.chart.helm import Helm, HelmError, Manifest, one
from e2e.chart.policies import KEPT, read
from tests.chart.golden import SETS, rendered

pytestmark = pytest.mark.chart
GOLDEN = ROOT / "tests" / "golden"
CHANGED: dict[str, Any] = {
    "mode": "Observe",
    "listen": "0.0.0.0:9090",
    "leaseNamespace": "berth-system",
    "leaseName": "other",
    "podPriorityClass": "gangs",
}
"""Another value of each setting that is not a number."""


def test_the_rendered_manifests_are_those_that_were_looked_at(helm: Helm) -> None:
    """What differs is to be read, and to be written anew by `make golden`."""
    expected = {path.name: path.read_text() for path in GOLDEN.glob("*.yaml")}
    assert rendered(helm) == expected


def test_the_chart_passes_helms_own_lint(helm: Helm) -> None:
    """Strictly: a warning is a failure, too."""
    assert "1 chart(s) linted, 0 chart(s) failed" in helm.run("lint", "--strict", str(ROOT / CHART))


def test_chart_and_operator_are_of_one_version(helm: Helm) -> None:
    """The image's tag is the operator's version."""
    chart = yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == berth.__version__
    (container,) = one(helm.manifests(), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"berth:{berth.__version__}"


def test_no_generated_template_is_left_of_something_that_is_gone() -> None:
    """A policy that was removed, or a kind."""
    made = {path for path in files() if path.startswith(f"{CHART}/templates/")}
    there = {str(path.relative_to(ROOT)) for path in (ROOT / CHART / "templates").glob("*/*.yaml")}
    assert there == made


def test_crds_of_the_chart_are_those_for_users_without_helm_and_stay_on_uninstall(helm: Helm) -> None:
    """Down to the last field; with the annotation that keeps them."""
    found = {m["metadata"]["name"]: m for m in helm.manifests() if m["kind"] == "CustomResourceDefinition"}
    expected = {m["metadata"]["name"]: m for m in map(yaml.safe_load, crd.files().values())}
    assert {name: m["spec"] for name, m in found.items()} == {name: m["spec"] for name, m in expected.items()}
    assert all(m["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for m in found.values())


def test_policies_of_the_chart_are_those_for_users_without_helm(helm: Helm) -> None:
    """With the usual names, nothing differs but what keeps the fence; not a brace of an expression is lost."""
    expected = [m for path in sorted((ROOT / "policies").glob("*.yaml")) for m in yaml.safe_load_all(path.read_text())]
    kinds = {m["kind"] for m in expected}
    names = {(m["kind"], m["metadata"]["name"]) for m in expected}
    found = [m for m in helm.manifests() if (m["kind"], m["metadata"]["name"]) in names and m["kind"] in kinds]
    kept = [m["metadata"].pop("annotations") for m in found if m["metadata"]["name"] in KEPT]
    assert kept == [{"helm.sh/resource-policy": "keep"}] * 2
    assert sorted(found, key=_order) == sorted(expected, key=_order)


def _order(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def test_a_policy_goes_by_the_release_and_by_its_values(helm: Helm) -> None:
    """Where the Lease is elsewhere, the epoch is; actions are those of the values; or the policy is not there."""
    settings = {"leaseNamespace": "berth-system", "leaseName": "other"}
    actions = {"fence": {"validationActions": ["Deny", "Audit"]}}
    binding = one(
        helm.manifests({"settings": settings, "policies": actions}), "ValidatingAdmissionPolicyBinding", "berth-fence"
    )
    reference = {"namespace": "berth-system", "name": "other", "parameterNotFoundAction": "Deny"}
    assert binding["spec"]["paramRef"] == reference
    assert binding["spec"]["validationActions"] == ["Deny", "Audit"]
    without = helm.manifests({"policies": {"fence": {"enabled": False}}})
    assert [m for m in without if m["metadata"]["name"] == "berth-fence"] == []


def test_parameters_of_policies_are_those_of_the_values_where_they_say_something(helm: Helm) -> None:
    """Nothing at all included: a class that is for nobody. What they do not say stays as it is by default."""
    given = {
        "berth-priority-classes": {"_others": "", "gold": "llm\nvision\n"},
        "berth-policies": {"resources": "a/b\n"},
    }
    manifests = helm.manifests({"policyParameters": given})
    (file,) = [p for p in read(ROOT / "policies") if p.key == "parameters"]
    expected = {**file.parameters[0].entries, "resources": "a/b\n"}
    assert one(manifests, "ConfigMap", "berth-policies")["data"] == expected
    classes = one(manifests, "ConfigMap", "berth-priority-classes")["data"]
    assert (classes["_others"], classes["gold"], classes["system-node-critical"]) == ("", "llm\nvision\n", "")


def settings_file(helm: Helm, tmp_path: Path, values: dict[str, Any]) -> Path:
    """The settings file of a release, as the operator finds it."""
    path = tmp_path / "settings.yaml"
    path.write_text(one(helm.manifests(values), "ConfigMap", "berth")["data"]["settings.yaml"])
    return path


def test_the_operator_reads_its_own_defaults_from_the_chart(helm: Helm, tmp_path: Path) -> None:
    """Whoever sets nothing gets what `berth run` does."""
    assert load(settings_file(helm, tmp_path, {})) == Settings()


def test_a_large_number_reaches_the_operator_as_it_was_written(helm: Helm, tmp_path: Path) -> None:
    """Helm holds numbers as floats; a setting of seconds has to be a whole one."""
    found = load(settings_file(helm, tmp_path, {"settings": {"assumedSeconds": 31_536_000, "quietSeconds": 0.25}}))
    assert (found.assumed_seconds, found.quiet_seconds) == (31_536_000, 0.25)


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"identity"}))
def test_only_a_setting_that_cannot_change_at_run_time_starts_new_pods(helm: Helm, tmp_path: Path, name: str) -> None:
    """The others are in the ConfigMap, and the pods stay as they are."""
    usual = getattr(Settings(), name)
    value = CHANGED[to_camel(name)] if to_camel(name) in CHANGED else usual + 1
    values = {"settings": {to_camel(name): value}}
    assert getattr(load(settings_file(helm, tmp_path, values)), name) == value
    before, after = (one(helm.manifests(v), "Deployment")["spec"]["template"] for v in ({}, values))
    assert (before != after) is (name in FIXED)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"replica": 3}, "additional properties 'replica' not allowed"),
        ({"settings": {"moed": "Observe"}}, "additional properties 'moed' not allowed"),
        ({"settings": {"mode": "Asleep"}}, "value must be one of 'Active', 'Observe'"),
        ({"settings": {"identity": "me"}}, "additional properties 'identity' not allowed"),
        ({"settings": {"listen": "8080"}}, "'8080' does not match pattern"),
        ({"settings": {"leaseSeconds": 0}}, "minimum: got 0, want 1"),
        ({"replicas": 0}, "minimum: got 0, want 1"),
        ({"image": {"digest": "latest"}}, "'latest' does not match pattern"),
        ({"policies": {"fence": {"validationActions": []}}}, "minItems: got 0, want 1"),
        ({"policyParameters": {"berth-policies": {"resource": "a/b"}}}, "value must be one of"),
        ({"policies": {"fences": {}}}, "additional properties 'fences' not allowed"),
        ({"pod": {"terminationGracePeriodSeconds": 5}}, "minimum: got 5, want 30"),
        (
            {"metrics": {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}},
            "a ServiceMonitor needs the Service: set metrics.service.enabled to true",
        ),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(helm: Helm, values: dict[str, Any], told: str) -> None:
    """By its name, before anything is installed."""
    with pytest.raises(HelmError) as refused:
        helm.render(values)
    assert told in str(refused.value)


def test_every_value_is_described_and_every_group_is_closed() -> None:
    """In the schema, which editors and Helm read."""
    schema = json.loads((ROOT / CHART / "values.schema.json").read_text())
    groups = {"": schema, **schema["$defs"]}
    for name, group in groups.items():
        if group.get("type") != "object":
            continue
        assert group["additionalProperties"] is False, name
        for key, value in group["properties"].items():
            above = groups.get(value.get("$ref", "").removeprefix("#/$defs/"), {})
            assert value.get("description") or above.get("description"), f"{name}.{key}"


def test_notes_say_what_to_do_next(helm: Helm) -> None:
    """In the words of the release: its names, its mode, and who can read its metrics."""
    told = helm.run("install", "lab", str(ROOT / CHART), "--dry-run=client", "--namespace", "ml", values=SETS["single"])
    notes = told.partition("NOTES:")[2]
    assert "kubectl rollout status -n ml deployment/lab-berth" in notes
    assert "It decides and tells, and creates no pod" in notes
    assert "networkPolicy.enabled is false" in notes
    assert "kubectl delete crd trainingjobs.berth.dev acceleratorpools.berth.dev" in notes
