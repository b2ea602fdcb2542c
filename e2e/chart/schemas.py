"""Schemas for kubeconform without a network: taken from the OpenAPI document in Kubernetes' own source.

kubeconform looks for one file for each kind. Each of ours points into one file of definitions, which is the document's
own, closed: a field that Kubernetes does not know is a mistake.
"""

import json
from pathlib import Path
from typing import Any

LOCATION = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"
_DEFINITIONS = "definitions.json"
_KINDS = "x-kubernetes-group-version-kind"


def write(openapi: Path, directory: Path) -> str:
    """Write the schemas into `directory`; the pattern of their places, for `-schema-location`."""
    directory.mkdir(parents=True, exist_ok=True)
    definitions: dict[str, Any] = json.loads(openapi.read_text())["definitions"]
    for name, definition in definitions.items():
        if "properties" in definition:
            definition["additionalProperties"] = False
        for kind in definition.get(_KINDS, ()):
            group = kind["group"] or kind["version"]  # as kubeconform reads `apiVersion: v1`
            path = f"{kind['kind'].lower()}-{group}-{kind['version']}.json"
            (directory / path).write_text(json.dumps({"$ref": f"{_DEFINITIONS}#/definitions/{name}"}))
    # Where a number or a string may stand, the document says string, with a format of its own.
    for name in ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity"):
        definitions[name] = {"type": ["string", "integer", "number"]}
    text = json.dumps({"definitions": definitions})
    (directory / _DEFINITIONS).write_text(text)
    return f"{directory}/{LOCATION}"
