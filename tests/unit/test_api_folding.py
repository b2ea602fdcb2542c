"""Folding of node names: exact, readable, and small for the names that clusters really have."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth.api.folding import fold, fold_ranks, unfold, unfold_ranks
from tests.properties.law import tries

LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,6}[a-z0-9])?", fullmatch=True)
FREE_NAME = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
NUMBERED = st.builds(
    lambda head, number, width, tail: f"{head}{number:0{width}d}{tail}",
    st.sampled_from(["h", "h800-", "gpu-r1-n", "10-", "", "a-1-"]),
    st.integers(0, 120),
    st.integers(1, 4),
    st.sampled_from(["", "", ".dc1.example", "-x"]),
)
NAMES = st.lists(st.one_of(NUMBERED, FREE_NAME), max_size=40)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["h800-0001"], "h800-0001"),
        ([f"h800-{n:04d}" for n in range(17, 49)], "h800-[0017-0048]"),
        (["h001", "h005", "h006", "h007"], "h[001,005-007]"),
        (["h8", "h9", "h10", "h11"], "h[8-11]"),
        (["h08", "h09", "h10"], "h[08-10]"),
        (["h9", "h09", "h10"], "h[9,09-10]"),
        (["h3", "h2", "h1"], "h[3,2,1]"),
        (["a", "a", "a", "b"], "a*3,b"),
        (["n1", "n1", "n2", "n2", "n3"], "n[1-2*2,3]"),
        (["n1", "n2", "n1", "n2"], "n[1-2,1-2]"),
        (["gpu-r1-n1", "gpu-r1-n2", "gpu-r2-n1", "gpu-r2-n2"], "gpu-[r1-n[1-2],r2-n[1-2]]"),
        (
            ["node-1.dc1.example", "node-2.dc1.example", "node-7.dc2.example"],
            "node-[1-2].dc1.example,node-7.dc2.example",
        ),
        (["ip-10-0-12-34.ec2.internal", "ip-10-0-13-5.ec2.internal"], "ip-10-0-[12-[34],13-[5]].ec2.internal"),
        (["10-2"], "10-[2]"),
        (["1", "2", "3"], "1-3"),
        (["1.x", "2.x"], "[1-2].x"),
        (["kalos", "seren"], "kalos,seren"),
    ],
)
def test_names_are_folded_as_a_person_would_write_them(names: list[str], folded: str) -> None:
    """Runs become ranges that keep their width, heads are written once, order and repeats stay."""
    assert folded == fold(names)
    assert names == unfold(folded)


@given(NAMES, st.integers(1, 3))
@settings(max_examples=tries(200), deadline=None)
def test_unfolding_gives_back_exactly_what_was_folded(names: list[str], times: int) -> None:
    """Whatever the names are, their order and their repeats survive."""
    repeated = [name for name in names for _ in range(times)]
    assert repeated == unfold(fold(repeated))


def _scattered(make_name: object, total: int = 5000, seed: int = 7) -> list[str]:
    draw = random.Random(seed)
    assert callable(make_name)
    return [make_name(draw) for _ in range(total)]


@pytest.mark.parametrize(
    "make_name",
    [
        lambda draw: f"h800-{draw.randrange(20000):05d}",
        lambda draw: f"gpu-node-{draw.randrange(20000)}.dc1.example.com",
        lambda draw: (
            f"ip-10-{draw.randrange(4)}-{draw.randrange(256)}-{draw.randrange(256)}.us-west-2.compute.internal"
        ),
        lambda draw: f"gke-train-a3-pool-3f2a9c1b-{''.join(draw.choices('bcdfghjklmnpqrstvwxz2456789', k=4))}",
    ],
    ids=["numbered", "qualified", "by address", "by hash"],
)
def test_5000_scattered_names_stay_small(make_name: object) -> None:
    """Even in no order at all, 5,000 names of a real cluster's pattern take less than 56 KiB of the status' 64."""
    names = _scattered(make_name)
    folded = fold(names)
    assert names == unfold(folded)
    assert len(folded) < 56 * 1024


@pytest.mark.parametrize("name", ["", "Upper", "a,b", "a[1]", "a*2", "-a", "a-", "a" * 254])
def test_what_is_no_node_name_is_refused(name: str) -> None:
    """A name that would make the line ambiguous is named in the error."""
    with pytest.raises(ValueError, match="is no node name"):
        fold(["h1", name])


@pytest.mark.parametrize("text", ["h[1", "h1]", "h[1]]", "a,,b", ",", "a*", "a*x", "[", "h[]"])
def test_a_damaged_line_says_where_it_breaks(text: str) -> None:
    """A status that somebody wrote by hand is refused, with the place."""
    with pytest.raises(ValueError, match="breaks off at character"):
        unfold(text)


@pytest.mark.parametrize(
    ("ranks", "line"), [((), ""), ((7,), "7"), ((0, 1, 2, 3, 7), "0-3,7"), ((0, 2, 3), "0,2-3"), ((4, 5), "4-5")]
)
def test_ranks_fold_into_ranges(ranks: tuple[int, ...], line: str) -> None:
    """And come back the same."""
    assert fold_ranks(ranks) == line
    assert unfold_ranks(line, 8) == ranks


def test_many_ranks_without_order_stay_short() -> None:
    """Of 5,000 replicas every other one is done: a mask, and nothing beyond the gang is read from one."""
    ranks = tuple(range(1, 5000, 2))
    line = fold_ranks(ranks)
    assert (line[:4], len(line)) == ("xaaa", 1251)
    assert unfold_ranks(line, 5000) == ranks
    with pytest.raises(ValueError, match="names rank 4999 of 4999 replicas"):
        unfold_ranks(line, 4999)


@pytest.mark.parametrize("line", ["8", "0-8", "3-2", "1,1", "2,0", "x", "0-", "-1", ",", "0,", "9" * 5000])
def test_what_are_no_ranks_of_the_gang_is_said(line: str) -> None:
    """Before anything is made of them: a range may stand for anything."""
    with pytest.raises(ValueError, match="are no ranks of 8 replicas in ascending order"):
        unfold_ranks(line, 8)
