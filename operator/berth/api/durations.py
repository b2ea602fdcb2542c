"""Durations as Go writes them (`90m`, `72h`, `1h30m`), in whole seconds once they are read."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from berth.api.rules import RULES, Rule

_UNITS = {"h": 3600, "m": 60, "s": 1}
_PATTERN = "".join(f"([0-9]{{1,6}}{unit})?" for unit in _UNITS)
_LENGTH = 32


def seconds_of(text: str) -> int:
    """Read a duration such as `1h30m`. Raises ValueError for anything else."""
    if not text or re.fullmatch(_PATTERN, text) is None:
        raise ValueError(f"{text!r} is not hours, minutes and seconds, in that order, such as 90m, 72h or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


def written(seconds: int) -> str:
    """Write seconds as Go would, without units that are zero: `1h30m`."""
    hours, rest = divmod(seconds, 3600)
    parts = (f"{hours}h" if hours else "", f"{rest // 60}m" if rest >= 60 else "", f"{rest % 60}s" if rest % 60 else "")
    return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration of at least `least` seconds; `why` says what it is for. An integer of seconds in Python."""

    least: int
    why: str

    @property
    def message(self) -> str:
        """What the user reads after field and value."""
        return (
            f"must be hours, minutes and seconds, such as 90m, 72h or 1h30m, at least {written(self.least)}: {self.why}"
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read the text; what is a number already was read before."""
        return core_schema.no_info_before_validator_function(
            self._read,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(written, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A string on the wire, with a rule that says what it must look like."""
        rule = Rule(
            f"self.size() > 0 && self.size() <= {_LENGTH} && self.matches('^({_PATTERN})$') "
            f"&& duration(self) >= duration('{self.least}s')",
            self.message,
        )
        return {"type": "string", "maxLength": 317, RULES: [rule.wire()]}

    def _read(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str):
            return value
        try:
            seconds = seconds_of(value)
        except ValueError:
            seconds = -1
        if len(value) > _LENGTH or seconds < self.least:
            raise ValueError(f"{value!r} {self.message}")
        return seconds
