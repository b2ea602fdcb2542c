"""The devices of every replica as one line of a status: `0-3*8,4-7`.

One item for each rank, in order; equal neighbours are counted, not repeated.

    list  = item *( "," item )
    item  = ( ranges / hex ) [ "*" times ]
    ranges = range *( "+" range )               `0-3`, `5`, `0-3+6`
    hex   = "x" mask                            bit i is device i

People read ranges. Masks keep the worst case small: they stand for ragged sets where the whole line would otherwise be
longer than 4,096 characters, so 5,000 replicas on ragged nodes of 16 devices take 30 KiB.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby

_LONGEST = 4096
_ITEM = re.compile(r"(?:x([0-9a-f]{1,16})|([0-9]+(?:-[0-9]+)?(?:\+[0-9]+(?:-[0-9]+)?)*))(?:\*([0-9]+))?")


def fold_devices(masks: Sequence[int]) -> str:
    """Write the devices of every rank, given as masks, as one line."""
    runs = [(mask, len(list(run))) for mask, run in groupby(masks)]
    line = _line(runs, device_list)
    return line if len(line) <= _LONGEST else _line(runs, _shorter)


def unfold_devices(text: str) -> tuple[int, ...]:
    """Return the masks that `fold_devices` wrote; ValueError if it did not write the text."""
    masks: list[int] = []
    for item in text.split(",") if text else ():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item[:60]!r} is no list of devices, such as 0-3*2")
        hexadecimal, ranges, times = match.groups()
        mask = int(hexadecimal, 16) if hexadecimal else sum(_mask(part) for part in ranges.split("+"))
        masks += [mask] * int(times or 1)
    return tuple(masks)


def device_list(mask: int) -> str:
    """Devices for people and for annotations: `0-3+6`."""
    runs: list[list[int]] = []
    for device in range(mask.bit_length()):
        if mask >> device & 1:
            if runs and runs[-1][1] == device - 1:
                runs[-1][1] = device
            else:
                runs.append([device, device])
    return "+".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _line(runs: list[tuple[int, int]], item: Callable[[int], str]) -> str:
    return ",".join(item(mask) if times == 1 else f"{item(mask)}*{times}" for mask, times in runs)


def _shorter(mask: int) -> str:
    return min(device_list(mask), f"x{mask:x}", key=len)


def _mask(part: str) -> int:
    low, _, high = part.partition("-")
    return (2 << int(high or low)) - (1 << int(low))
