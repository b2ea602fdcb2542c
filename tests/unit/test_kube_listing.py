"""Whole lists: pages of one moment, begun anew when that moment is forgotten."""

import asyncio
import json
from collections import deque

import pytest
from yarl import URL

from berth.kube.client import ApiClient, JsonObject
from berth.kube.errors import Unavailable
from berth.kube.listing import list_all, uids
from berth.kube.resources import PODS
from berth.kube.transport import Request
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


class Pages(ApiClient):
    """Answers lists with given bodies, by token; `asked` are the tokens in the order in which they were asked for."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        super().__init__(connection("http://pages.invalid"))
        self._pages = pages
        self.asked: list[str] = []
        self.given_up = 0

    async def request(self, request: Request) -> bytes:
        token = URL(request.target).query.get("continue", "")
        self.asked.append(token)
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return self._pages[token]


def of_pods(name: str, token: str, *, metadata_first: bool = True) -> bytes:
    """A page of one pod, as the API server writes those of its own kinds, or with the metadata last."""
    metadata = {"resourceVersion": "7", **({"continue": token} if token else {})}
    items = [{"metadata": {"name": name, "namespace": "team", "annotations": {"continue": '"continue":"x"'}}}]
    kind = {"kind": "PodList", "apiVersion": "v1"}
    body = {**kind, "metadata": metadata, "items": items} if metadata_first else {**kind, "items": items}
    return json.dumps({**body, "metadata": metadata}, separators=(",", ":")).encode()


@pytest.mark.parametrize("metadata_first", [True, False])
async def test_the_next_page_is_on_its_way_while_one_is_read(metadata_first: bool) -> None:
    """Where a page says at its beginning how the list goes on; elsewhere it is read first. The list is the same."""
    client = Pages(
        {
            "": of_pods("a", "t1", metadata_first=metadata_first),
            "t1": of_pods("b", "t2", metadata_first=metadata_first),
            "t2": of_pods("c", "", metadata_first=metadata_first),
        }
    )
    asked_when_read = []

    def project(item: JsonObject) -> str:
        asked_when_read.append(len(client.asked))
        return str(item["metadata"]["name"])

    listing = await list_all(client, PODS, project=project)
    assert list(listing.items.values()) == ["a", "b", "c"]
    assert client.asked == ["", "t1", "t2"]
    assert asked_when_read == ([2, 3, 3] if metadata_first else [1, 2, 3])


async def test_a_bug_in_reading_a_page_leaves_no_request_behind() -> None:
    """What was asked for ahead is given up."""
    client = Pages({"": of_pods("a", "t1"), "t1": of_pods("b", "")})

    def project(item: JsonObject) -> str:
        raise KeyError(item["metadata"]["name"])

    with pytest.raises(KeyError):
        await list_all(client, PODS, project=project)
    await asyncio.sleep(0.02)
    assert (client.asked, client.given_up) == (["", "t1"], 1)
