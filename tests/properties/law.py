"""A law: something that must hold for every input, told as a function over an implementation.

The implementation is handed in, so that the same law that the heart keeps can be shown to be broken by a bug planted
for it: a law that no planted bug breaks proves nothing. Laws about the same thing and the same examples share a room.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

Thing = TypeVar("Thing")
Example = TypeVar("Example")
Check = Callable[[Thing, Example], None]

_SHARE = int(os.environ.get("PROPERTY_TRIES", "100"))
"""Per cent of the examples on which a law is tried: all of them, unless somebody waits (`make unit`)."""

ROOMS: dict[str, "Room[Any, Any]"] = {}
"""Every room by name."""


def tries(usual: int) -> int:
    """On how many examples a law is tried. Planted bugs are looked for in all: fewer might not show them."""
    return max(1, usual * _SHARE // 100)


@dataclass(frozen=True)
class Room(Generic[Thing, Example]):
    """Laws about one thing. `real`: the heart's own; `tries`: on how many examples it is tried."""

    name: str
    real: Thing
    examples: SearchStrategy[Example]
    tries: int
    laws: dict[str, Check[Thing, Example]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.name not in ROOMS, f"two rooms are called {self.name!r}"
        ROOMS[self.name] = self

    def law(self, check: Check[Thing, Example]) -> Check[Thing, Example]:
        """Register a law under its function's name, in words. It raises AssertionError where a thing breaks it."""
        self.laws[check.__name__.replace("_", " ")] = check
        return check

    def uphold(self, thing: Thing, laws: Iterable[str], *, tries: int, shrink: bool) -> None:
        """Try a thing on examples, always the same ones; raises AssertionError on the first that breaks a law."""
        checks = [self.laws[name] for name in laws]

        @settings(
            max_examples=tries,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.examples)
        def every(example: Example) -> None:
            for check in checks:
                check(thing, example)

        every()
