"""The heart's dataclasses as JSON and back, driven by their annotations: nothing is listed twice, nothing is guessed.

Fields that have their default are left out. What is read is checked against the annotation, and an error names the
place in the document. A coder is made once for each type.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from berth.core.model import Node
from berth.core.numbering import Numbering
from berth.core.slots import Ledger
from berth.core.topology import Tree


class DumpError(ValueError):
    """A document that cannot be read; the text names the place in it and what was expected there."""


class Coder(NamedTuple):
    """How values of one type are written and read. `read` is given the place, for errors."""

    write: Callable[[Any], Any]
    read: Callable[[Any, str], Any]


def encode(value: object) -> Any:
    """Write an instance of one of the heart's dataclasses as JSON types."""
    kind: Any = type(value)
    return coder(kind).write(value)


def decode(kind: type, data: Any, at: str = "") -> Any:
    """Read an instance of `kind`. Raises DumpError; `at` is where the data stands in the document."""
    return coder(kind).read(data, at or kind.__name__.lower())


@cache
def coder(kind: Any) -> Coder:
    """The coder of a type, as it may stand in an annotation."""
    origin = get_origin(kind)
    if origin is not None:
        return _GENERIC[origin](get_args(kind))
    if kind is Ledger:
        return _ledger()
    if kind in _WORDS:
        return _plain(kind)
    if issubclass(kind, Enum):
        return _enum(kind)
    if issubclass(kind, tuple):
        return _named_tuple(kind)
    assert is_dataclass(kind), f"there is no coder for {kind}"
    return _dataclass(kind)


def _expected(what: str, data: Any, at: str) -> DumpError:
    shown = repr(data)
    return DumpError(f"{at}: {what} was expected, there is {shown if len(shown) <= 60 else f'{shown[:60]}…'}")


_WORDS = {int: "an integer", str: "a text", bool: "true or false"}


def _plain(kind: type) -> Coder:
    word = _WORDS[kind]

    def read(data: Any, at: str) -> Any:
        if type(data) is not kind:  # exactly: a bool is an int, too
            raise _expected(word, data, at)
        return data

    return Coder(lambda value: value, read)


def _enum(kind: type[Enum]) -> Coder:
    def read(data: Any, at: str) -> Any:
        try:
            return kind(data)
        except ValueError:
            raise _expected(f"one of {', '.join(str(m.value) for m in kind)}", data, at) from None

    return Coder(lambda value: kind(value).value, read)


def _optional(parts: tuple[Any, ...]) -> Coder:
    some = [one for one in parts if one is not types.NoneType]
    assert len(some) == 1, f"{parts}: only `X | None` can be read without guessing"

    def write(value: Any) -> Any:
        return None if value is None else coder(some[0]).write(value)

    def read(data: Any, at: str) -> Any:
        return None if data is None else coder(some[0]).read(data, at)

    return Coder(write, read)


def _tuple(parts: tuple[Any, ...]) -> Coder:
    if parts[1:] == (...,):
        one = coder(parts[0])

        def read_all(data: Any, at: str) -> Any:
            if not isinstance(data, list):
                raise _expected("a list", data, at)
            return tuple(one.read(entry, f"{at}[{number}]") for number, entry in enumerate(data))

        return Coder(lambda value: [one.write(entry) for entry in value], read_all)
    coders = [coder(part) for part in parts]

    def read(data: Any, at: str) -> Any:
        if not isinstance(data, list) or len(data) != len(coders):
            raise _expected(f"a list of {len(coders)}", data, at)
        return tuple(
            c.read(entry, f"{at}[{number}]") for number, (c, entry) in enumerate(zip(coders, data, strict=True))
        )

    return Coder(lambda value: [c.write(entry) for c, entry in zip(coders, value, strict=True)], read)


def _named_tuple(kind: type) -> Coder:
    plain = _tuple(tuple(get_type_hints(kind).values()))
    return Coder(plain.write, lambda data, at: kind(*plain.read(data, at)))


def _frozenset(parts: tuple[Any, ...]) -> Coder:
    plain = _tuple((*parts, ...))
    return Coder(lambda value: plain.write(sorted(value)), lambda data, at: frozenset(plain.read(data, at)))


def _mapping(parts: tuple[Any, ...]) -> Coder:
    assert parts[0] is str, "keys of JSON objects are texts"
    one = coder(parts[1])

    def read(data: Any, at: str) -> Any:
        if not isinstance(data, dict):
            raise _expected("an object", data, at)
        return {name: one.read(entry, f"{at}[{name}]") for name, entry in data.items()}

    return Coder(lambda value: {name: one.write(entry) for name, entry in value.items()}, read)


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], Coder]] = {
    Union: _optional,
    types.UnionType: _optional,
    tuple: _tuple,
    frozenset: _frozenset,
    dict: _mapping,
    Mapping: _mapping,
}


class _Field(NamedTuple):
    name: str
    coder: Coder
    default: Any


def _dataclass(kind: Any) -> Coder:
    hints = get_type_hints(kind)
    known: list[_Field] = []
    for field in fields(kind):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        known.append(_Field(field.name, coder(hints[field.name]), default))
    names = {field.name for field in known}

    def write(value: Any) -> Any:
        found = {}
        for name, one, default in known:
            entry = getattr(value, name)
            if default is MISSING or entry != default:
                found[name] = one.write(entry)
        return found

    def read(data: Any, at: str) -> Any:
        if not isinstance(data, dict):
            raise _expected("an object", data, at)
        unknown = data.keys() - names
        if unknown:
            raise DumpError(f"{at}.{min(unknown)}: there is no such field; there are {', '.join(sorted(names))}")
        found = {}
        for name, one, default in known:
            if name in data:
                found[name] = one.read(data[name], f"{at}.{name}")
            elif default is MISSING:
                raise DumpError(f"{at}.{name}: is missing")
        return kind(**found)

    return Coder(write, read)


_LEDGER = frozenset({"levels", "nodes", "used", "numbering", "held"})


def _ledger() -> Coder:
    """A ledger is its nodes in network order, what is taken on each, and the levels of the tree above them."""
    nodes, used, levels = coder(tuple[Node, ...]), coder(tuple[Mapping[str, int], ...]), coder(tuple[str, ...])
    held, numbering = coder(tuple[int, ...]), coder(Numbering | None)

    def write(ledger: Ledger) -> Any:
        return {
            "levels": levels.write(ledger.tree.levels[:-1]),
            "nodes": nodes.write(ledger.nodes),
            "used": used.write(ledger.used),
            "numbering": numbering.write(ledger.numbering),
            "held": held.write(ledger.held),
        }

    def read(data: Any, at: str) -> Any:
        if not isinstance(data, dict) or data.keys() != _LEDGER:
            raise _expected(f"an object with {', '.join(sorted(_LEDGER))}", data, at)
        pool, *below = levels.read(data["levels"], f"{at}.levels") or ("",)
        there, taken = nodes.read(data["nodes"], f"{at}.nodes"), used.read(data["used"], f"{at}.used")
        if len(there) != len(taken):
            raise DumpError(f"{at}.used: has {len(taken)} entries for {len(there)} nodes")
        if any(len(node.path) != len(below) for node in there):
            raise DumpError(f"{at}.nodes: a path has not one domain for each of the {len(below)} levels")
        tree, ordered = Tree.build(pool, tuple(below), there)
        if ordered != list(there):
            raise DumpError(f"{at}.nodes: are not in network order")
        masks = held.read(data["held"], f"{at}.held")
        by_id = numbering.read(data["numbering"], f"{at}.numbering")
        if len(masks) != (len(there) if by_id else 0):
            raise DumpError(f"{at}.held: has {len(masks)} entries for {len(there)} nodes")
        return Ledger(tree, ordered, list(taken), numbering=by_id, held=list(masks))

    return Coder(write, read)
