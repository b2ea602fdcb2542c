"""What both kinds share: object metadata as far as Berth reads it, and conditions.

A condition's reason comes from a closed set per type, which is checked where a status is written, and printed in the
reference. Neither the schema nor the reader checks it: an operator that is newer than the CRD must still be able to
write its status, and one that was rolled back must be able to read it.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from berth.api.wire import Generation, Message, Report, Time


class OwnerReference(Report):
    """Whose object this is."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Report):
    """The part of an object's metadata that Berth reads."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class Condition(Report):
    """One aspect of the object, in the form that `kubectl wait --for=condition=` reads."""

    type: str
    """What the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """Why, in one word of a closed set."""
    message: Message = ""
    """Why, in a sentence for people, at most 1,024 characters."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: Generation | None = None
    """The object's generation that this was found from."""


def check_reasons(conditions: Iterable[Condition], reasons: Mapping[str, frozenset[str]]) -> None:
    """Raise ValueError if a condition's type or reason is not of the closed set."""
    for condition in conditions:
        known = reasons.get(condition.type, frozenset())
        if condition.reason not in known:
            raise ValueError(
                f"{condition.reason!r} is no reason of condition {condition.type}: {', '.join(sorted(known))}"
            )
