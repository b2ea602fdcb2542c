"""Node names in rank order, folded into one short line: `h800-[0017-0048]`.

A status names the node of every replica, 5,000 of them at most, and has to stay small. Names of one cluster share most
of their letters, so a list of names is written as nested shared heads, like brace expansion in a shell, with runs of
numbers as ranges. Order and repeats are kept: rank is position.

    list   = item *( "," item )
    item   = ( range / name ) [ "*" times ]           each name it stands for, so many times in a row
    range  = digits "-" digits                        both ends included; the width of the first is kept
    name   = text [ "[" list "]" text ]               the head and tail of every name of the list

What would read as a range but is a name gets brackets around its last part (`10-[2]`). Names are DNS subdomains, so
none of `[ ] , *` can occur in one, and `unfold` gives back exactly what was folded.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PARTS = re.compile(r"[^-]*-|[a-z]+(?=[0-9]+$)|[^-]+$")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_LONGEST_RANKS = 1024
_MASK = re.compile(r"x([0-9a-f]+)")
_RANKS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_TOKENS = re.compile(r"[\[\],*]|[^\[\],*]+")


class _Entry(NamedTuple):
    """What is left of a name below its shared head, and how often in a row it stands."""

    parts: tuple[str, ...]
    times: int


def fold(names: Sequence[str]) -> str:
    """Write node names, in their order, as one line; ValueError if one is no DNS subdomain."""
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no node name: it must be a DNS subdomain of at most 253 characters")
    items: list[str] = []
    runs = [(name, len(list(run))) for name, run in groupby(names)]
    for domain, group in groupby(runs, key=lambda run: run[0].partition(".")[2]):
        entries = [_Entry(_split(name.partition(".")[0]), times) for name, times in group]
        items += _with_tail(entries, f".{domain}" if domain else "")
    return ",".join(items)


def unfold(text: str) -> list[str]:
    """Return the names that `fold` wrote as `text`; ValueError, with the place, if it did not write it."""
    if not text:
        return []
    reader = _Reader(text)
    names = reader.items()
    if reader.peek():
        raise reader.error()
    return names


def fold_ranks(ranks: Sequence[int]) -> str:
    """Write ascending ranks as one line: `0-3,7`; where that is long, as `x` and a mask, of which bit i is rank i."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and runs[-1][1] == rank - 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    line = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
    return line if len(line) <= _LONGEST_RANKS else f"x{sum(1 << rank for rank in ranks):x}"


def unfold_ranks(text: str, size: int) -> tuple[int, ...]:
    """Return the ranks that `fold_ranks` wrote; ValueError if it did not write them of a gang of `size` replicas."""
    if mask := _MASK.fullmatch(text):
        bits = int(mask[1], 16)
        if bits.bit_length() > size:
            raise ValueError(f"{text[:60]!r}… names rank {bits.bit_length() - 1} of {size} replicas")
        return tuple(rank for rank in range(size) if bits >> rank & 1)
    ranks: list[int] = []
    for item in text.split(",") if text else ():
        bounds = _RANKS.fullmatch(item)
        low, high = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (0, -1)
        if not (ranks[-1] if ranks else -1) < low <= high < size:
            raise ValueError(f"{item[:60]!r} are no ranks of {size} replicas in ascending order, such as 0-3,7")
        ranks += range(low, high + 1)
    return tuple(ranks)


def _split(label: str) -> tuple[str, ...]:
    """`gpu-r07-n12` is `gpu-`, `r07-`, `n`, `12`: a head ends with a hyphen, or before a last number."""
    return tuple(_PARTS.findall(label))


def _with_tail(entries: list[_Entry], tail: str) -> list[str]:
    if not tail:
        return list(_items(entries))
    if len(entries) == 1:
        return [_times("".join(entries[0].parts) + tail, entries[0].times)]
    inner = list(_items(entries))
    lone = inner[0] if len(inner) == 1 and inner[0].endswith("]") and "[" in inner[0] else f"[{','.join(inner)}]"
    return [lone + tail]


def _items(entries: list[_Entry]) -> Iterator[str]:
    """Fold entries with nothing in common before them."""
    for first, run in groupby(entries, key=lambda entry: entry.parts[:1] if len(entry.parts) > 1 else ()):
        group = list(run)
        if not first:
            yield from _last_parts(group)
        elif len(group) == 1:
            yield _lone(group[0])
        else:
            shared = _shared([entry.parts[:-1] for entry in group])
            below = [_Entry(entry.parts[len(shared) :], entry.times) for entry in group]
            yield f"{''.join(shared)}[{','.join(_items(below))}]"


def _shared(heads: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The parts that all heads begin with."""
    low, high = min(heads), max(heads)
    return tuple(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False)))


def _last_parts(entries: list[_Entry]) -> Iterator[str]:
    """Fold entries of one part each: numbers that follow each other become ranges."""
    start = 0
    for here in range(1, len(entries) + 1):
        if here < len(entries) and _follows(entries[here - 1], entries[here], width=len(entries[start].parts[0])):
            continue
        first, last = entries[start].parts[0], entries[here - 1].parts[0]
        yield _times(first if first == last else f"{first}-{last}", entries[start].times)
        start = here


def _follows(one: _Entry, other: _Entry, width: int) -> bool:
    number = one.parts[0]
    return number.isdigit() and one.times == other.times and str(int(number) + 1).zfill(width) == other.parts[0]


def _lone(entry: _Entry) -> str:
    name = "".join(entry.parts)
    if _RANGE.fullmatch(name):
        name = "".join(entry.parts[:-1]) + f"[{entry.parts[-1]}]"
    return _times(name, entry.times)


def _times(name: str, times: int) -> str:
    return name if times == 1 else f"{name}*{times}"


class _Reader:
    """Reads the grammar above from left to right, one token ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [(match.group(), match.start()) for match in _TOKENS.finditer(text)]
        self._at = 0

    def peek(self) -> str:
        """Return the next token; empty at the end."""
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def items(self) -> list[str]:
        """Read items up to the end or a closing bracket."""
        names = self._item()
        while self._take(","):
            names += self._item()
        return names

    def error(self) -> ValueError:
        """Say where the text stops making sense."""
        at = self._tokens[self._at][1] if self._at < len(self._tokens) else len(self._text)
        return ValueError(f"{self._text[:60]!r} is no folded list of names: it breaks off at character {at}")

    def _item(self) -> list[str]:
        head = self._literal()
        if self._take("["):
            inner = self.items()
            if not self._take("]"):
                raise self.error()
            tail = self._literal()
            names = [head + name + tail for name in inner]
        elif bounds := _RANGE.fullmatch(head):
            low, high = bounds.groups()
            names = [str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]
        elif head:
            names = [head]
        else:
            raise self.error()
        times = self._times() if self._take("*") else 1
        return [name for name in names for _ in range(times)]

    def _times(self) -> int:
        times = self._literal()
        if not times.isdigit():
            raise self.error()
        return int(times)

    def _literal(self) -> str:
        text = self.peek()
        if not text or text in "[],*":
            return ""
        self._at += 1
        return text

    def _take(self, mark: str) -> bool:
        found = self.peek() == mark
        self._at += found
        return found
