"""Models become structural schemas that the API server takes, and checked-in files are what the models say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from berth.accel import reference as catalogue
from berth.api import crd, reference
from berth.api.crd import JOB, KINDS, POOL, Kind
from berth.api.generated import drift, main, write
from berth.api.rules import Between, Bounds, Rule, rules
from berth.api.schema import Json, SchemaError, structural
from berth.api.wire import Wire
from tests import mistakes

ROOT = Path(__file__).parents[2]


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every node of a structural schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.*")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind in turn."""
    found: Kind = request.param
    return found


def test_a_schema_is_one_tree_of_typed_nodes(kind: Kind) -> None:
    """No references, no alternatives, no titles; a type everywhere; lists say how they are merged."""
    for path, node in nodes(structural(kind.model)):
        assert node["type"] in {"object", "array", "string", "integer", "boolean"}, path
        assert not {"$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "const"} & set(node), path
        assert node["type"] != "array" or "x-kubernetes-list-type" in node, path
        assert not ("properties" in node and "additionalProperties" in node), path


def test_every_field_is_described(kind: Kind) -> None:
    """`kubectl explain` has something to say about each field."""
    for path, node in nodes(structural(kind.model)):
        name = path.rpartition(".")[2]
        if path.startswith((".spec", ".status")) and name.isidentifier():
            assert node.get("description", "").endswith((".", "…")), path
            assert "\n" not in node["description"], path


def test_strings_and_lists_under_rules_are_bounded(kind: Kind) -> None:
    """The API server refuses rules whose cost it cannot bound."""
    for path, node in nodes(structural(kind.model)):
        ruled = [rule for rule in node.get("x-kubernetes-validations", []) if rule["rule"] != "false"]
        if ruled and node["type"] == "string" and "matches" in str(ruled):
            assert "maxLength" in node, path
        if ruled and node["type"] == "array":
            assert "maxItems" in node, path


def test_every_rule_has_a_message_of_one_line(kind: Kind) -> None:
    """A rule without a message prints its source to the user."""
    for path, node in nodes(structural(kind.model)):
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], path
            assert "\n" not in rule["message"], path


def test_a_status_has_neither_defaults_nor_enums(kind: Kind) -> None:
    """What is written must equal what is read, and a newer operator's words must be writable."""
    for path, node in nodes(structural(kind.model)["properties"]["status"]):
        assert not {"default", "enum"} & set(node), path


def test_a_job_has_the_documented_defaults() -> None:
    """The server fills them in, so that what is stored says what will happen."""
    spec = structural(JOB.model)["properties"]["spec"]["properties"]
    found = {name: node["default"] for name, node in spec.items() if "default" in node}
    assert found == {
        "runtime": "None",
        "backoffLimit": 3,
        "startDeadline": "15m",
        "suspend": False,
        "binding": "Scheduler",
    }
    assert spec["topology"]["properties"]["policy"]["default"] == "Required"


def test_manifests_carry_what_kubectl_needs(kind: Kind) -> None:
    """Short name, category, status subresource, columns and selectable fields."""
    spec = kind.manifest()["spec"]
    assert spec["names"]["shortNames"] == [kind.short_name]
    assert spec["names"]["categories"] == ["berth"]
    (version,) = spec["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["selectableFields"]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [c.name for c in kind.columns]
    assert (JOB.namespaced, POOL.namespaced) == (True, False)


def test_manifests_are_plain_yaml(kind: Kind) -> None:
    """No anchors, which people stumble over, and the same text every time."""
    texts = crd.files()
    assert texts == crd.files()
    text = texts[f"berth.dev_{kind.plural}.yaml"]
    assert yaml.safe_load(text) == kind.manifest()
    assert "&id" not in text


@pytest.mark.parametrize(
    ("texts", "directory"),
    [
        (crd.files(), "crds"),
        (reference.files(), "docs/reference"),
        (catalogue.files(), "docs/reference"),
        (mistakes.files(), "docs/reference"),
    ],
    ids=["crds", "reference", "catalogue", "mistakes"],
)
def test_checked_in_files_are_what_the_models_say(texts: dict[str, str], directory: str) -> None:
    """If this fails: run `make generate` and commit the result."""
    assert list(drift(ROOT / directory, texts)) == []


def test_drift_is_found_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One changed byte, or a missing file, fails the check, names the file and says what to do."""
    texts = {"a.yaml": "a\n", "b.yaml": "b\n"}

    def run(*arguments: str) -> int:
        return main(texts, "something", [str(tmp_path / "new"), *arguments])

    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0
    capsys.readouterr()
    edited = tmp_path / "new" / "b.yaml"
    edited.write_text("b \n")
    assert run("--check") == 1
    assert (
        capsys.readouterr().err == f"{edited} is not what the models say: run `make generate` and commit the result\n"
    )


@pytest.mark.parametrize(
    ("module", "directory"),
    [
        ("berth.api.crd", "crds"),
        ("berth.api.reference", "docs/reference"),
        ("berth.accel.reference", "docs/reference"),
        ("berth.sim.scenario.reference", "docs/reference"),
    ],
)
def test_generators_run_as_modules(module: str, directory: str) -> None:
    """The commands behind `make generate` and `make check`."""
    command = [sys.executable, "-m", module, "--check", str(ROOT / directory)]
    assert subprocess.run(command, check=False).returncode == 0


def test_writing_leaves_other_files_alone(tmp_path: Path) -> None:
    """Hand-written pages live beside generated ones."""
    (tmp_path / "by-hand.md").write_text("mine")
    write(tmp_path, {"generated.md": "theirs"})
    assert (tmp_path / "by-hand.md").read_text() == "mine"


class Part(Wire):
    """A part."""

    size: Annotated[int, Between(1, 3, "there are three")] = 2
    """Size."""


def root(annotation: Any, name: str = "thing") -> type[BaseModel]:
    """A root model whose spec has one field."""
    spec = type("Spec", (Wire,), {"__annotations__": {name: annotation}, "__doc__": "A spec."})
    annotations = {"spec": spec, "status": Part}
    return type("Root", (Wire,), {"__annotations__": annotations, "__doc__": "A root."})


def spec_of(annotation: Any) -> Json:
    """The schema that one field's annotation becomes."""
    found: Json = structural(root(annotation))["properties"]["spec"]["properties"]["thing"]
    return found


def test_an_optional_part_is_inlined_without_null() -> None:
    """Kubernetes drops nulls by itself, and knows no references."""
    found = spec_of(Annotated[Part | None, Field(description="Mine.")])
    assert found["description"] == "Mine."
    assert found["properties"]["size"] == {
        "description": "Size.",
        "type": "integer",
        "format": "int32",
        "default": 2,
        "x-kubernetes-validations": [
            {"rule": "self >= 1 && self <= 3", "message": "must be from 1 to 3: there are three"}
        ],
    }


def test_rules_inside_and_beside_an_optional_type_add_up() -> None:
    """A rule of the type and a rule of the field both hold."""
    outer, inner = Rule("self != 'b'", "must not be b"), Rule("self != 'a'", "must not be a")
    found = spec_of(Annotated[Annotated[str, inner] | None, outer])
    assert [rule["message"] for rule in found["x-kubernetes-validations"]] == ["must not be a", "must not be b"]


def test_a_list_says_how_it_is_merged() -> None:
    """Bounds and merge strategy come from one annotation."""
    found = spec_of(Annotated[tuple[str, ...], Bounds(4, "set", nonempty="must not be empty")])
    assert (found["maxItems"], found["x-kubernetes-list-type"]) == (4, "set")
    assert found["x-kubernetes-validations"] == [{"rule": "self.size() > 0", "message": "must not be empty"}]


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Any, r"spec.thing: has no type"),
        (int | str, r"spec.thing: a field has one type, or one type and None; this one has 2"),
        (tuple[str, ...], r"spec.thing: does not say how lists of it are merged"),
        (Annotated[tuple[Part, ...], Bounds(2, "map", ("size",))], r"spec.thing: entries are told apart by size"),
    ],
)
def test_a_model_that_cannot_be_a_schema_names_the_field(annotation: Any, says: str) -> None:
    """The generator speaks before the API server does."""
    with pytest.raises(SchemaError, match=says):
        spec_of(annotation)


def test_rules_of_a_model_stand_at_its_node() -> None:
    """Rules over several fields belong to the object that holds them."""
    assert rules(Rule("true", "fine", path=".a", required=True)) == {
        "x-kubernetes-validations": [
            {"rule": "true", "message": "fine", "fieldPath": ".a", "reason": "FieldValueRequired"}
        ]
    }


def test_the_reference_has_a_row_for_every_field(kind: Kind) -> None:
    """Spec, status, what a template may not set: nothing is left out."""
    page = reference.files()[f"{kind.name.lower()}.md"]
    for path, _ in nodes(structural(kind.model)):
        name = path.removeprefix(".spec.").removeprefix(".status.").rstrip("[]").removesuffix(".*")
        if path.startswith((".spec.", ".status.")):
            shown = name.removeprefix("template.spec.")
            assert f"`{name}`" in page or f"`{shown}`" in page, path
