"""Quantities of Kubernetes as integers."""

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.utils import parse_quantity

from berth.cluster.quantities import amount


@pytest.mark.parametrize(
    ("resource", "quantity", "expected"),
    [
        ("nvidia.com/gpu", "8", 8),
        ("nvidia.com/gpu", 8, 8),
        ("cpu", "64", 64_000),
        ("cpu", "500m", 500),
        ("cpu", "0.5", 500),
        ("cpu", ".5", 500),
        ("cpu", "1.", 1_000),
        ("cpu", 0.25, 250),
        ("cpu", "100u", 1),
        ("cpu", "1n", 1),
        ("cpu", "+2", 2_000),
        ("cpu", "-2", -2_000),
        ("memory", "0", 0),
        ("memory", "1Ki", 1024),
        ("memory", "1.5Gi", 3 * 2**29),
        ("memory", "64Gi", 64 * 2**30),
        ("memory", "1k", 1_000),
        ("memory", "1M", 10**6),
        ("memory", "1G", 10**9),
        ("memory", "1T", 10**12),
        ("memory", "1P", 10**15),
        ("memory", "1E", 10**18),
        ("memory", "1Ei", 2**60),
        ("memory", "12e6", 12 * 10**6),
        ("memory", "12E6", 12 * 10**6),
        ("memory", "1e-3", 1),
        ("memory", "128974848000m", 128_974_848),
        ("memory", "1m", 1),
        ("pods", "110", 110),
    ],
)
def test_a_quantity_is_counted_in_base_units(resource: str, quantity: str | float, expected: int) -> None:
    """Millicores for cpu, the base unit else, a part of a unit counting as a whole one."""
    assert expected == amount(resource, quantity)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " ",
        "8 Gi",
        "eight",
        "1.2.3",
        ".",
        "+",
        "1ki",
        "1mi",
        "0x10",
        "1e",
        "1e3m",
        "--1",
        "1KiB",
        "1e9999999999999999999",
    ],
)
def test_what_is_no_quantity_is_refused_by_name(wrong: str) -> None:
    """The error names the resource, what stands there, and how to write it."""
    with pytest.raises(ValueError, match=r"memory: .* is not a quantity; write it like 500m, 8 or 64Gi") as refused:
        amount("memory", wrong)
    assert repr(wrong) in str(refused.value)


@pytest.mark.parametrize("huge", ["1e1000000000", "9" * 40, "9E9999999", "9Ei"])
def test_what_is_more_than_kubernetes_counts_is_as_much_as_it_counts(huge: str) -> None:
    """The API server takes such numbers for its largest one; here, too, they must cost no time and no memory."""
    assert amount("memory", huge) == 2**63 - 1


NUMBERS = st.one_of(
    st.integers(0, 10**12).map(str),
    st.decimals(0, 10**6, places=6, allow_nan=False, allow_infinity=False).map(lambda d: f"{d:f}"),
)
SUFFIXES = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])


@settings(derandomize=True, database=None, deadline=None)
@given(NUMBERS, SUFFIXES, st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]))
def test_quantities_read_as_the_official_parser_reads_them(number: str, suffix: str, resource: str) -> None:
    """Whatever number and suffix: the same value, rounded up, and no more than the largest that Kubernetes counts."""
    value = parse_quantity(number + suffix)  # type: ignore[no-untyped-call]  # the package annotates its models only
    value *= 1000 if resource == "cpu" else 1
    expected = min(2**63 - 1, int(value.to_integral_value(rounding=ROUND_CEILING)))
    assert expected == amount(resource, number + suffix)


@settings(derandomize=True, database=None, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(-6, 12))
def test_exponents_mean_powers_of_ten(number: int, exponent: int) -> None:
    """`12e6` and `12E6` are the same twelve millions."""
    value = int((Decimal(number) * Decimal(10) ** exponent).to_integral_value(rounding=ROUND_CEILING))
    assert value == amount("memory", f"{number}e{exponent}") == amount("memory", f"{number}E{exponent}")
