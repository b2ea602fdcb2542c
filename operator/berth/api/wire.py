"""What every model of the wire contract is made of: its base classes, times, and texts for people.

Times are unix seconds in Python and RFC 3339 on the wire, so that nothing but this module knows of time zones.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

MESSAGE_LENGTH = 1024
SUMMARY_LENGTH = 48


class Wire(BaseModel):
    """An object on the wire: camelCase there, snake_case here; unknown fields are errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="forbid",
    )

    def wire(self) -> dict[str, Any]:
        """Return the object as it is sent: JSON types only, absent fields left out."""
        return self.model_dump(mode="json", exclude_none=True)


class Report(Wire):
    """A part of a status. Unknown fields are dropped: an operator that was rolled back reads what a newer one wrote."""

    model_config = ConfigDict(extra="ignore")


def seconds(value: Any) -> Any:
    """Turn an RFC 3339 time into unix seconds, rounded down; anything but a string stays as it is."""
    if not isinstance(value, str):
        return value
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone: write RFC 3339, such as 2026-11-22T03:03:05Z")
    return int(time.timestamp() // 1)


def rfc3339(value: int) -> str:
    """Write unix seconds as the wire does: `2026-11-22T03:03:05Z`."""
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cut(text: str, length: int) -> str:
    """Shorten `text` to `length` characters, at a blank where one is near, and mark the cut by an ellipsis."""
    if len(text) <= length:
        return text
    whole_words = text[:length].rpartition(" ")[0]
    return (whole_words if len(whole_words) > length * 3 // 4 else text[: length - 1]) + "…"


Time = Annotated[
    int,
    BeforeValidator(seconds),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment: unix seconds in Python, RFC 3339 on the wire."""

Message = Annotated[
    str,
    AfterValidator(lambda text: cut(text, MESSAGE_LENGTH)),
    WithJsonSchema({"type": "string", "maxLength": MESSAGE_LENGTH}),
]
"""A text for people, cut at 1,024 characters: a status that cannot be written helps nobody."""

Summary = Annotated[
    str,
    AfterValidator(lambda text: cut(text, SUMMARY_LENGTH)),
    WithJsonSchema({"type": "string", "maxLength": SUMMARY_LENGTH}),
]
"""A text that ends a line of `kubectl get -o wide` within 160 columns: cut at 48 characters."""

Count = Annotated[int, WithJsonSchema({"type": "integer", "format": "int32"})]
"""A number of things."""

HeldSeconds = Annotated[int, WithJsonSchema({"type": "integer", "format": "int64"})]
"""Whole seconds, more than fit into 32 bits."""

Generation = Annotated[int, WithJsonSchema({"type": "integer", "format": "int64"})]
"""A value of `metadata.generation`."""
