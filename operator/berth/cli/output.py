"""`-o json`, `-o yaml`, `-o name`: objects for scripts, as the API server tells them."""

import json
from collections.abc import Sequence
from typing import Any

from berth.kube.resources import Resource

JsonObject = dict[str, Any]


def objects(items: Sequence[JsonObject], resource: Resource, form: str, *, one: bool = False) -> list[str]:
    """Objects in one of the forms; with `one` the only object itself, else a List, as kubectl does."""
    complete = [{"apiVersion": resource.api_version, "kind": resource.kind, **_lean(item)} for item in items]
    if form == "name":
        return [f"{resource.kind.lower()}.{resource.group}/{item['metadata']['name']}" for item in complete]
    return document(complete[0] if one else {"apiVersion": "v1", "kind": "List", "items": complete}, form)


def _lean(item: JsonObject) -> JsonObject:
    """Without `metadata.managedFields`, as kubectl shows objects."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}


def document(value: Any, form: str) -> list[str]:
    """A value as JSON or YAML."""
    if form == "json":
        return [json.dumps(value, indent=2, ensure_ascii=False)]
    import yaml

    return [yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")]
