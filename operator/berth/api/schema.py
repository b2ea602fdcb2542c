"""From pydantic's JSON schema to the structural schema that the API server takes.

The API server wants one self-contained tree: no `$ref`, no `anyOf` around optional fields, a type at every node, and
either `properties` or `additionalProperties`. Pydantic has what is needed (types, defaults, descriptions, and the
extensions that the annotations of `rules` add) in another arrangement. Three things differ by place:

- The root's `apiVersion`, `kind` and `metadata` are the API server's; only the object's name may be constrained.
- Defaults are kept in the spec only. A default in a status would be filled in by the server, and what was written
  would never equal what is read.
- Enums are told but not enforced in a status: an operator that is newer than the CRD must be able to write.
"""

from typing import Any

from pydantic import BaseModel

from berth.api.rules import LIST_KEYS, LIST_TYPE, PRESERVE, RULES

Json = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "maxLength",
    "maxItems",
    "maxProperties",
    LIST_TYPE,
    LIST_KEYS,
    PRESERVE,
    RULES,
)
_ALLOWED = {*_KEPT, "properties", "required", "items", "additionalProperties"}


class SchemaError(Exception):
    """A model that cannot be written as a structural schema; the message names the field."""


def structural(model: type[BaseModel]) -> Json:
    """Return the schema of a root model: its spec, its status, and rules over both."""
    source = model.model_json_schema(by_alias=True, mode="validation")
    walker = _Walker(source.get("$defs", {}))
    properties: Json = {
        "apiVersion": {"type": "string", "description": "Version of the API that this object is written in."},
        "kind": {"type": "string", "description": f"Always {model.__name__}."},
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": walker.node(source["properties"]["spec"], "spec", in_status=False),
        "status": walker.node(source["properties"]["status"], "status", in_status=True),
    }
    return {
        "description": _prose(source["description"]),
        "type": "object",
        "required": ["spec"],
        "properties": properties,
        RULES: source.get(RULES, []),
    }


class _Walker:
    """Inlines references while it walks down."""

    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions

    def node(self, source: Json, path: str, *, in_status: bool) -> Json:
        """Return the structural schema of one node; SchemaError names the path of what cannot be one."""
        flat = self._flat(source, path)
        result = {key: flat[key] for key in _KEPT if flat.get(key) not in (None, [])}
        if "description" in result:
            result["description"] = _prose(result["description"])
        if in_status:
            result.pop("default", None)
            if values := result.pop("enum", None):
                result["description"] = f"{result.get('description', '')} One of {', '.join(values)}.".strip()
        self._children(flat, result, path, in_status=in_status)
        _check(result, path)
        return result

    def _children(self, flat: Json, result: Json, path: str, *, in_status: bool) -> None:
        if "properties" in flat:
            result["properties"] = {
                name: self.node(child, f"{path}.{name}", in_status=in_status)
                for name, child in flat["properties"].items()
            }
            if flat.get("required"):
                result["required"] = flat["required"]
        elif isinstance(flat.get("additionalProperties"), dict):
            result["additionalProperties"] = self.node(flat["additionalProperties"], f"{path}.*", in_status=in_status)
        if "items" in flat:
            result["items"] = self.node(flat["items"], f"{path}[]", in_status=in_status)

    def _flat(self, source: Json, path: str) -> Json:
        """Resolve `$ref` and `X | None`, what stands beside them winning over what they lead to."""
        beside = {key: value for key, value in source.items() if key not in ("$ref", "anyOf")}
        if "$ref" in source:
            inner = self._definitions[source["$ref"].rpartition("/")[2]]
        elif "anyOf" in source:
            options = [option for option in source["anyOf"] if option.get("type") != "null"]
            if len(options) != 1:
                raise SchemaError(f"{path}: a field has one type, or one type and None; this one has {len(options)}")
            inner = options[0]
        else:
            return source
        flat = self._flat(inner, path)
        both = [*flat.get(RULES, []), *beside.get(RULES, [])]
        return {**flat, **beside, **({RULES: both} if both else {})}


def _prose(text: str) -> str:
    return " ".join(text.split())


def _check(node: Json, path: str) -> None:
    """Hold the rules of structural schemas that a model can break, so that the API server is not the first to say."""
    if "type" not in node:
        raise SchemaError(f"{path}: has no type; annotate it with a concrete one")
    if "properties" in node and "additionalProperties" in node:
        raise SchemaError(f"{path}: has both named fields and free ones; use extra='allow' or a dict")
    if node["type"] == "object" and not {"properties", "additionalProperties", PRESERVE} & set(node):
        raise SchemaError(f"{path}: says nothing of what it holds; declare fields, or preserve unknown ones")
    if node["type"] == "array" and "items" not in node:
        raise SchemaError(f"{path}: does not say what it lists")
    if node["type"] == "array" and LIST_TYPE not in node:
        raise SchemaError(f"{path}: does not say how lists of it are merged; annotate it with Bounds(…)")
    missing = set(node.get(LIST_KEYS, ())) - set(node.get("items", {}).get("required", ()))
    if missing:
        raise SchemaError(f"{path}: entries are told apart by {', '.join(missing)}, which must be required")
    unknown = set(node) - _ALLOWED
    if unknown:
        raise SchemaError(f"{path}: {', '.join(unknown)} has no place in a structural schema")
