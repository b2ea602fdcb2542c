"""Kubernetes quantities as integers: millicores for `cpu`, the base unit for everything else, rounded up.

What is more than Kubernetes counts, 2⁶³ - 1, is that much, as it is to the API server: `1e1000000000` is a quantity,
and as an integer it would fill the memory.

Our own dozen lines, because the official parser comes with an import of the whole typed client (dozens of megabytes in
a process that never uses it).
"""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,18}))?")
_MOST = 2**63 - 1
_FAR = 100
"""Powers of ten beyond this one are all the same: more than can be counted, or less than one."""
_SUFFIXES = {
    **{suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(["n", "u", "m", "", "k", "M", "G", "T"], -3)},
    **{suffix: Decimal(10) ** power for suffix, power in (("P", 15), ("E", 18))},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


@lru_cache(maxsize=4096)
def amount(resource: str, quantity: str | float) -> int:
    """Read a quantity of a resource, e.g. `("cpu", "500m")` → 500, `("memory", "1Ki")` → 1024.

    Raises ValueError naming resource and quantity if it is none.
    """
    match = _FORM.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{resource}: {quantity!r} is not a quantity; write it like 500m, 8 or 64Gi")
    number, suffix, exponent = match.groups()
    if exponent:
        value = Decimal(number).scaleb(max(-_FAR, min(_FAR, int(exponent))))
    else:
        value = Decimal(number) * _SUFFIXES[suffix or ""]
    if resource == "cpu":
        value *= 1000
    return min(_MOST, int(value.to_integral_value(rounding=ROUND_CEILING)))
