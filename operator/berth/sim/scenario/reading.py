"""From text to a checked model. Every mistake is told with file, line and field; those of one file all at once.

The text is composed into nodes that know their lines, the values are checked by pydantic, and each of its findings is
brought back to the line of the innermost key that is in the file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from berth.sim.scenario.problems import Problem, ScenarioError, nearest, shown

M = TypeVar("M", bound=BaseModel)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be a text; put it in quotes if it looks like something else",
    "string_too_short": "must not be empty",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping with the fields of this part",
    "model_attributes_type": "must be a mapping with the fields of this part",
    "tuple_type": "must be a list",
    "finite_number": "must be a finite number",
}


class Document(NamedTuple):
    """A YAML file: its value, and its nodes for the lines."""

    file: str
    value: Any
    root: yaml.Node | None

    def line(self, path: tuple[int | str, ...]) -> int:
        """Line of the innermost part of a path that is in the file, of its key where it has one; 1 if none is."""
        node, line = self.root, 1
        for step in path:
            at: yaml.Node | None = None
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = at = node.value[step]
            elif isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == step), None)
                if found is not None:
                    at, node = found
            if at is not None:
                line = at.start_mark.line + 1
        return line


def text_of(path: Path) -> str:
    """The text of a file. Raises ScenarioError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(
            [Problem(str(path), 0, "", f"cannot be read: {error.strerror}; correct the path")]
        ) from error
    except UnicodeDecodeError as error:
        raise ScenarioError([Problem(str(path), 0, "", "is not text in UTF-8; name a YAML file")]) from error


def document(file: str, text: str) -> Document:
    """Parse YAML. Raises ScenarioError for what is no YAML, no mapping, or has a key twice."""
    loader = _LOADER(text)
    try:
        root = loader.get_single_node()
        twice = [Problem(file, line, key, "stands twice; keep one of the two") for line, key in _twice(root)]
        if twice:
            raise ScenarioError(twice)
        value = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        what = getattr(error, "problem", None) or str(error)
        raise ScenarioError([Problem(file, line, "", f"is not YAML: {what}")]) from error
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        raise ScenarioError([Problem(file, 1, "", f"{shown(value)}: must be a mapping with the fields of a scenario")])
    return Document(file, value, root)


def _twice(root: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping, with the line of the second."""
    stack, seen = [root], set()
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            stack += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys and key.value != "<<":
                        yield key.start_mark.line + 1, key.value
                    keys.add(key.value)
                stack.append(value)


def checked(model: type[M], found: Document, prefix: tuple[int | str, ...] = ()) -> M:
    """The document, or the part of it at `prefix`, as a model. Raises ScenarioError with all that is wrong."""
    value = found.value
    for step in prefix:
        value = value[step]
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ScenarioError(sorted((_told(model, found, prefix, e) for e in error.errors()), key=_order)) from error


def _order(problem: Problem) -> tuple[int, str]:
    return problem.line, problem.field


def _told(model: type[BaseModel], found: Document, prefix: tuple[int | str, ...], error: Any) -> Problem:
    path = (*prefix, *error["loc"])
    known = _fields(model, error["loc"][:-1] if error["type"] in ("extra_forbidden", "missing") else ())
    return Problem(found.file, found.line(path), field_name(path, found.value), _text(error, known))


def field_name(path: tuple[int | str, ...], value: Any) -> str:
    """`workload.jobs[2].name`; steps into a list that the file writes as a single value are left out."""
    name = ""
    for step in path:
        if isinstance(step, int):
            if isinstance(value, (list, tuple)):
                name += f"[{step}]"
                value = value[step] if step < len(value) else None
            continue
        name += f".{step}" if name else step
        value = value.get(step) if isinstance(value, dict) else None
    return name


def _text(error: Any, known: Mapping[str, str]) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx") or {}
    if kind == "extra_forbidden":
        word = str(error["loc"][-1])
        return f"there is no such field{nearest(word, known) or '; there are ' + ', '.join(known)}"
    if kind == "missing":
        what = known.get(str(error["loc"][-1]), "")
        return "is missing" + (f"; it says: {what[0].lower()}{what[1:].rstrip('.')}" if what else "")
    if kind == "literal_error":
        words = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        hint = nearest(value, words) if isinstance(value, str) else ""
        return f"{shown(value)}: must be {' or '.join(words)}{hint}"
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return f"{shown(value)}: must be {word} {context[key]}"
    text = _EXPECTED.get(kind) or error["msg"].removeprefix("Value error, ")
    # What was wrong with a whole section is in the message; its content would not help.
    return text if isinstance(value, (dict, list)) and kind == "value_error" else f"{shown(value)}: {text}"


_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


def _fields(model: type[BaseModel], path: tuple[int | str, ...]) -> dict[str, str]:
    """Fields of the part of a model at a path, with the first sentence that tells of each."""
    schema = model.model_json_schema()
    node = _resolved(schema, schema)
    for step in path:
        inner = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        inner = inner if inner is not None else node.get("additionalProperties")
        if not isinstance(inner, dict):
            return {}
        node = _resolved(inner, schema)
    told = {
        name: str(_resolved(child, schema, keep=True).get("description", ""))
        for name, child in node.get("properties", {}).items()
    }
    return {name: " ".join(text.split()).partition(". ")[0] for name, text in told.items()}


def _resolved(node: dict[str, Any], schema: dict[str, Any], *, keep: bool = False) -> dict[str, Any]:
    """A node behind `$ref` and `X | None`; with `keep` what stands beside them wins."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    if "$ref" in node:
        inner = _resolved(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    elif "anyOf" in node:
        inner = _resolved(next(one for one in node["anyOf"] if one.get("type") != "null"), schema)
    else:
        return node
    return {**inner, **beside} if keep else {**beside, **inner}
