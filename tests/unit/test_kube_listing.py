"""Whole lists: pages of one moment, begun anew when that moment is forgotten."""

from collections import deque

import pytest

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import Unavailable
from berth.kube.listing import list_all, uids
from berth.kube.resources import PODS
from tests.unit.kube_wire import Script, Step, config_map, connection, page, refusal, serving


def value_of(item: JsonObject) -> str | None:
    value = item["data"].get("v")
    return None if value is None else str(value)


def expired() -> Step:
    return refusal(410, "Expired", "The provided continue parameter is too old")


async def test_pages_make_one_list_and_what_is_of_no_interest_is_left_out() -> None:
    """Each page hands on the token for the next; the version is that of the moment that all pages show."""
    first = page(config_map("a", 1, v="1"), config_map("b", 2), version=7, token="next")
    second = page(config_map("c", 3, v="3"), version=7)
    script = Script(deque([first, second]), deque())
    async with serving(script) as url, ApiClient(connection(url)) as client:
        listing = await list_all(client, PODS, project=value_of, label_selector="x=y", page_size=2)
    assert listing.items == {("team", "a"): "1", ("team", "c"): "3"}
    assert listing.resource_version == "7"
    assert [query.get("continue") for query in script.queries] == [None, "next"]
    assert {("2", "x=y")} == {(query["limit"], query["labelSelector"]) for query in script.queries}


async def test_a_list_whose_moment_is_forgotten_is_begun_anew() -> None:
    """What the first pages showed is dropped: `a` was deleted meanwhile and must not be in the list."""
    lists: list[Step] = [
        page(config_map("a", 1, v="1"), version=7, token="next"),
        expired(),
        page(config_map("b", 8, v="2"), version=9),
    ]
    script = Script(deque(lists), deque())
    async with serving(script) as url, ApiClient(connection(url)) as client:
        listing = await list_all(client, PODS, project=value_of)
    assert (listing.items, listing.resource_version) == ({("team", "b"): "2"}, "9")


async def test_a_list_that_is_always_too_slow_is_fetched_as_one_page() -> None:
    """It would never end otherwise; one page always shows one moment."""
    lists: list[Step] = []
    for _ in range(3):
        lists += [page(config_map("a", 1, v="1"), version=7, token="next"), expired()]
    lists.append(page(config_map("a", 1, v="1"), config_map("b", 2, v="2"), version=20))
    script = Script(deque(lists), deque())
    async with serving(script) as url, ApiClient(connection(url)) as client:
        listing = await list_all(client, PODS, project=value_of)
    assert len(listing.items) == 2
    assert "limit" not in script.queries[-1]


async def test_a_list_that_fails_is_never_half_a_list() -> None:
    """A missing page would look like a deletion of all that was on it."""
    lists = [page(config_map("a", 1, v="1"), version=7, token="next"), refusal(503, "ServiceUnavailable", "later")]
    script = Script(deque(lists), deque())
    async with serving(script) as url, ApiClient(connection(url)) as client:
        with pytest.raises(Unavailable):
            await list_all(client, PODS, project=value_of)


async def test_an_audit_asks_for_metadata_only() -> None:
    """Names and uids of thousands of pods are enough to see which are ghosts."""
    script = Script(deque([page(config_map("a", 1), config_map("b", 2), version=7)]), deque())
    async with serving(script) as url, ApiClient(connection(url)) as client:
        assert await uids(client, PODS) == {("team", "a"): "uid-a", ("team", "b"): "uid-b"}
