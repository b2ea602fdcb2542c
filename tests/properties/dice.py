"""Examples read off a string of bytes, one byte for each choice.

Drawing one string costs a fraction of drawing a hundred numbers, and it still shrinks: towards zero bytes, which stand
for the first of every choice.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Dice:
    """Hands out one choice after the other; the first of all choices once the bytes are used up."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1; `limit` is at most 256."""
        return next(self._bytes, 0) % limit

    def between(self, least: int, most: int) -> int:
        """A number from `least` to `most`."""
        return least + self.below(most - least + 1)

    def flip(self) -> bool:
        """Yes or no."""
        return bool(self.below(2))

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]


def rolled(make: Callable[[Dice], T], size: int) -> st.SearchStrategy[T]:
    """Whatever `make` reads off `size` random bytes."""
    return st.binary(min_size=size, max_size=size).map(lambda data: make(Dice(data)))
