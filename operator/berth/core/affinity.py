"""Which nodes a replica's required node affinity leaves, by the rules of Kubernetes.

Terms are alternatives, the clauses of a term must all hold, and a term without clauses matches nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison: of a label, or, with `name`, of the node's name (`key` is then `metadata.name`)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    name: bool = False

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Say whether a node of that name with these labels satisfies it. An unknown operator matches nothing."""
        check = _OPERATORS.get(self.operator)
        return check is not None and check(name if self.name else labels.get(self.key), self.values)

    def __str__(self) -> str:
        listed = ", ".join(self.values[:_SHOWN]) + (", …" if len(self.values) > _SHOWN else "")
        return f"{self.key} {self.operator} {listed}".rstrip()


Term = tuple[Clause, ...]
Terms = tuple[Term, ...]
"""A required node affinity; empty: none is required."""


def admits(terms: Terms, name: str, labels: Mapping[str, str]) -> bool:
    """Say whether a node satisfies a required affinity."""
    return not terms or any(term and all(clause.matches(name, labels) for clause in term) for term in terms)


def told(terms: Terms) -> str:
    """An affinity in a few words: `zone In a, b or gen Gt 3`."""
    return " or ".join(" and ".join(map(str, term)) for term in terms)


def _compared(value: str | None, values: tuple[str, ...], compare: Callable[[int, int], bool]) -> bool:
    try:
        return value is not None and len(values) == 1 and compare(int(value), int(values[0]))
    except ValueError:
        return False


_OPERATORS: dict[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _compared(value, values, lambda one, other: one > other),
    "Lt": lambda value, values: _compared(value, values, lambda one, other: one < other),
}
