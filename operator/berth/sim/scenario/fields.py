"""Types that the fields of a scenario have in common. Durations are Go style in the file and seconds in Python."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from berth.api.rules import duration_seconds
from berth.api.wire import Wire

_DURATION = re.compile(r"(?=.)(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}s)?")


class Part(Wire):
    """A part of a scenario: camelCase in the file, unknown fields are errors."""


def seconds(value: Any) -> int:
    """Seconds of a duration such as `90s`, `15m`, `1h30m`, with a minus sign before the run's start. ValueError."""
    if isinstance(value, str):
        sign, text = (-1, value[1:]) if value.startswith("-") else (1, value)
        if _DURATION.fullmatch(text) is not None:
            return sign * duration_seconds(text)
    raise ValueError("must be a duration, such as 90s, 15m or 1h30m")


def written(span: int) -> str:
    """Seconds as a duration: `1h30m`."""
    whole = abs(span)
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    text = "".join(f"{number}{unit}" for number, unit in parts if number)
    return f"-{text}" if span < 0 else text or "0s"


def _not_negative(value: int) -> int:
    if value < 0:
        raise ValueError("must be 0s or more")
    return value


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError("must be at least 1s")
    return value


_TEXT = WithJsonSchema({"type": "string", "format": "duration"})

Moment = Annotated[int, BeforeValidator(seconds), _TEXT]
"""A time after (with a minus sign: before) the run's start."""
Span = Annotated[int, BeforeValidator(seconds), AfterValidator(_not_negative), _TEXT]
Length = Annotated[int, BeforeValidator(seconds), AfterValidator(_positive), _TEXT]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[int, Field(strict=True, ge=0)]
Integer = Annotated[int, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0)]
Positive = Annotated[float, Field(strict=True, gt=0)]
Text = Annotated[str, Field(strict=True, min_length=1)]
