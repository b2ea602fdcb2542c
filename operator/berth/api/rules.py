"""Constraints of the wire contract, each written once and checked twice.

A constraint annotates the type that it constrains. Pydantic checks it where a manifest is read without an API server;
the generated schema carries it as a CEL rule. CEL rather than `minimum` or `pattern`, because Kubernetes prints a
rule's own message after the field and its value, and so the user reads what to do; a bare schema error says only
what is wrong. Structural bounds (`maxLength`, `maxItems`) stay in the schema beside the rules, and wide, because the
API server refuses rules whose cost it cannot bound.

Rules that look at several fields exist in CEL only: the API server is the one that enforces them.
"""

import json
import re
from collections.abc import Sized
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

RULES = "x-kubernetes-validations"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"

LONGEST = 317
"""Characters of the longest string that Kubernetes takes for a name: a label key with its prefix."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule: annotates a type, or stands in `rules(...)` on a model.

    `rule` is true for what is accepted, with the value as `self`. `message` says what to do, and is what the reference
    prints; `expression` is CEL that builds the message where it shows a value (Kubernetes shows only scalars by
    itself). `path` leads from the model to the field that the user is told. `required` makes the error read
    "Required value".
    """

    rule: str
    message: str
    expression: str = ""
    path: str = ""
    required: bool = False

    def wire(self) -> dict[str, Any]:
        """Return the rule as an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.rule, "message": self.message}
        if self.expression:
            entry["messageExpression"] = self.expression
        if self.path:
            entry["fieldPath"] = self.path
        if self.required:
            entry["reason"] = "FieldValueRequired"
        return entry

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rule to what pydantic makes of the annotated type."""
        return _with(handler(schema), self)


def rules(*entries: Rule, **extra: Any) -> dict[str, Any]:
    """Return the `json_schema_extra` of a model that carries these rules and other extensions."""
    return {RULES: [entry.wire() for entry in entries], **extra}


def literal(text: str) -> str:
    """Quote a text as a CEL string."""
    return json.dumps(text, ensure_ascii=False)


def quoted(value: str, message: str) -> str:
    """Return CEL for a message that begins with a value in quotes, for rules whose value Kubernetes does not show."""
    mark = '"'
    return f"{literal(mark)} + {value} + {literal(mark + ' ' + message)}"


def _with(schema: JsonSchemaValue, rule: Rule, **bounds: Any) -> JsonSchemaValue:
    return {**schema, **bounds, RULES: [*schema.get(RULES, []), rule.wire()]}


@dataclass(frozen=True, slots=True)
class Between:
    """An integer from `low` to `high`, both included; `why` says what the bound protects, or what to do instead."""

    low: int
    high: int
    why: str

    @property
    def message(self) -> str:
        """What the user reads after field and value."""
        return f"must be from {self.low} to {self.high}: {self.why}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the bounds after pydantic has checked the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the bounds as a rule."""
        rule = Rule(f"self >= {self.low} && self <= {self.high}", self.message)
        return _with(handler(schema), rule, format="int32")

    def _check(self, value: int) -> int:
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} {self.message}")
        return value


@dataclass(frozen=True, slots=True)
class Matches:
    """A string of at most `length` characters that `pattern`, the same in Python and RE2, matches from end to end."""

    pattern: str
    length: int
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the pattern after pydantic has checked the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the pattern as a rule; the structural bound leaves room for the rule to speak first."""
        return _with(handler(schema), Rule(self.cel("self"), self.message), maxLength=LONGEST)

    def cel(self, value: str) -> str:
        """Return the CEL expression that is true where the string `value` is accepted."""
        return f"{value}.size() <= {self.length} && {value}.matches('^({self.pattern})$')"

    def _check(self, value: str) -> str:
        if len(value) > self.length or re.fullmatch(self.pattern, value) is None:
            raise ValueError(f"{value!r} {self.message}")
        return value


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many entries a list or map may hold, and how server-side apply merges a list.

    `merge` is `atomic`, `set` or `map` (by `keys`). With `nonempty`, an empty one is refused with that message.
    """

    at_most: int
    merge: str = "atomic"
    keys: tuple[str, ...] = ()
    nonempty: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the number of entries after pydantic has checked each."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add bounds and merge strategy to a list or map."""
        result = dict(handler(schema))
        if result["type"] == "object":
            result["maxProperties"] = self.at_most
        else:
            result |= {"maxItems": self.at_most, LIST_TYPE: self.merge}
        if self.keys:
            result[LIST_KEYS] = list(self.keys)
        return _with(result, Rule("self.size() > 0", self.nonempty)) if self.nonempty else result

    def _check(self, entries: Sized) -> Sized:
        if self.nonempty and not entries:
            raise ValueError(self.nonempty)
        if len(entries) > self.at_most:
            raise ValueError(f"must have at most {self.at_most} entries, not {len(entries)}")
        return entries


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount with a unit, more than nothing."""

    message: str = "must be an amount with a unit of Kubernetes, more than 0, such as 80Gi"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the amount after pydantic has checked the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the amount as a rule."""
        rule = Rule("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))", self.message)
        return _with(handler(schema), rule, maxLength=64)

    def _check(self, value: str) -> str:
        number = re.fullmatch(r"(\d+(?:[.]\d+)?)(?:[kMGTPE]i?|Ki|m|e\d+)?", value)
        if number is None or float(number[1]) == 0:
            raise ValueError(f"{value!r} {self.message}")
        return value


_UNITS = {"h": 3600, "m": 60, "s": 1}


def duration_seconds(text: str) -> int:
    """Seconds of a duration as `Duration` accepts it: `90s`, `15m`, `1h30m`."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration in Go's style of whole hours, minutes and seconds, from `low` to `high`, both included."""

    low: str
    high: str
    why: str

    @property
    def message(self) -> str:
        """What the user reads after field and value."""
        return f"must be a duration from {self.low} to {self.high}, such as 90s, 15m or 1h30m: {self.why}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the duration after pydantic has checked the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the duration as a rule; the structural bound leaves room for the rule to speak first."""
        bounds = f"duration(self) >= duration('{self.low}') && duration(self) <= duration('{self.high}')"
        rule = Rule(f"self.size() <= 16 && self.matches('^({_DURATION})$') && {bounds}", self.message)
        return _with(handler(schema), rule, maxLength=64)

    def _check(self, value: str) -> str:
        low, high = duration_seconds(self.low), duration_seconds(self.high)
        if re.fullmatch(_DURATION, value) is None or not low <= duration_seconds(value) <= high:
            raise ValueError(f"{value!r} {self.message}")
        return value


_DURATION = "[0-9]{1,6}h([0-9]{1,6}m)?([0-9]{1,6}s)?|[0-9]{1,6}m([0-9]{1,6}s)?|[0-9]{1,6}s"
_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_QUALIFIED = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

LABEL = Matches(_LABEL, 63, "must be 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
PRIORITY_CLASS = Matches(
    _DOMAIN, 253, "must be a name from kubectl get priorityclass: at most 253 of a-z, 0-9, '-' and '.'"
)
LABEL_KEY = Matches(
    f"({_DOMAIN}/)?{_QUALIFIED}",
    LONGEST,
    "must be the key of a label, such as nvidia.com/gpu.product: a name of at most 63 characters, if need be "
    "after a domain and '/'",
)
LABEL_VALUE = Matches(
    f"({_QUALIFIED})?", 63, "must be the value of a label: at most 63 of A-Z, a-z, 0-9, '-', '_' and '.'"
)
RESOURCE = Matches(
    f"{_DOMAIN}/{_QUALIFIED}",
    LONGEST,
    "must be an extended resource as the nodes report it under status.allocatable, such as nvidia.com/gpu",
)
TITLE = Matches(
    "[A-Za-z0-9]([-A-Za-z0-9 ._+/]{0,61}[A-Za-z0-9+])?", 63, "must be 1 to 63 letters, digits, blanks and -._+/"
)

QUANTITY = Quantity()

LabelName = Annotated[str, LABEL]
"""A DNS label: what pools, levels and profiles are called."""
PriorityClassName = Annotated[str, PRIORITY_CLASS]
LabelKey = Annotated[str, LABEL_KEY]
LabelValue = Annotated[str, LABEL_VALUE]
ResourceName = Annotated[str, RESOURCE]
Title = Annotated[str, TITLE]
