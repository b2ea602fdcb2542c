"""Docker's runc is asked for no capability that the host withholds."""

import pytest

from e2e.kind import capfit

ALL = "000001ffffffffff"


@pytest.mark.parametrize(
    ("bounding", "expected"),
    [
        pytest.param(ALL, set(), id="a host that allows all"),
        pytest.param("000001fffeffffff", {"CAP_SYS_RESOURCE"}, id="a virtual machine without CAP_SYS_RESOURCE"),
        pytest.param("000001fffffffffe", {"CAP_CHOWN"}, id="the lowest bit"),
        pytest.param("000000ffffffffff", {"CAP_CHECKPOINT_RESTORE"}, id="the highest bit"),
    ],
)
def test_what_the_host_withholds_is_read_from_its_bounding_set(bounding: str, expected: set[str]) -> None:
    """Bits are named in the order of the kernel's header."""
    assert capfit.missing(f"Name:\tpython3\nCapEff:\t{ALL}\nCapBnd:\t{bounding}\n") == expected


def test_a_status_without_a_bounding_set_withholds_nothing() -> None:
    """Kernels that do not tell are not second-guessed: runc says itself what it lacks."""
    assert capfit.missing("Name:\tpython3\n") == set()


def test_sets_lose_what_is_withheld_and_nothing_else() -> None:
    """Order and other fields stay."""
    asked = {"bounding": ["CAP_KILL", "CAP_SYS_RESOURCE", "CAP_CHOWN"], "ambient": [], "other": None}

    assert capfit.fit(asked, {"CAP_SYS_RESOURCE"}) == {
        "bounding": ["CAP_KILL", "CAP_CHOWN"], "ambient": [], "other": None,
    }  # fmt: skip
