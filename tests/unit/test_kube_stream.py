"""The bytes of a watch: lines from chunks, events from lines, and what is not believed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.kube.errors import Gone
from berth.kube.stream import BrokenStreamError, EventReader, LineSplitter
from tests.unit.kube_wire import bookmark, config_map, event, status_object


def reader(position: int = 10, longest: int = 1 << 20) -> EventReader:
    return EventReader(position=str(position), told="watch configmaps", longest=longest)


@given(lines=st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=12), data=st.data())
def test_lines_do_not_depend_on_where_chunks_end(lines: list[bytes], data: st.DataObject) -> None:
    """The network cuts anywhere, in the middle of a character too."""
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    splitter = LineSplitter()
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    assert [line for line in lines if line] == found


def test_a_long_line_costs_time_in_proportion_to_its_length() -> None:
    """Sixteen times the bytes take far less than the 256 times of an algorithm that looks at the whole again."""

    def seconds(chunks: int) -> float:
        splitter, started = LineSplitter(), time.process_time()
        for _ in range(chunks):
            splitter.feed(b"x" * 1000)
        assert [b"x" * 1000 * chunks] == splitter.feed(b"\n")
        return time.process_time() - started

    assert seconds(16_000) < 100 * max(seconds(1_000), 0.001)


def test_a_line_without_end_is_not_collected_for_ever() -> None:
    """What is far larger than any object is no event."""
    splitter = LineSplitter(longest=1000)
    for _ in range(10):
        splitter.feed(b"x" * 100)
    with pytest.raises(BrokenStreamError, match="longer than 1000 bytes"):
        splitter.feed(b"x")


def test_events_move_the_position() -> None:
    """The next watch begins after the last event or bookmark that was seen."""
    events = reader()
    found = list(events.feed(event("ADDED", config_map("a", 11)) + bookmark(15)))
    assert [(e.kind, e.version) for e in found] == [("ADDED", "11"), ("BOOKMARK", "15")]
    assert events.position == "15"


def test_half_a_line_is_no_event() -> None:
    """A cut in the middle of an event leaves the position where it was, so the event comes again."""
    events = reader()
    line = event("ADDED", config_map("a", 11))
    assert list(events.feed(line[:-20])) == []
    assert events.position == "10"


def test_the_same_event_once_more_is_passed_over() -> None:
    """A broken proxy may repeat a line; a bookmark at the same position is no news but a sign of life."""
    events = reader()
    line = event("MODIFIED", config_map("a", 11))
    found = list(events.feed(line + line + bookmark(11)))
    assert [e.kind for e in found] == ["MODIFIED", "BOOKMARK"]


@pytest.mark.parametrize("line", [event("MODIFIED", config_map("a", 9)), bookmark(9)])
def test_a_history_that_goes_back_is_not_believed(line: bytes) -> None:
    """The events in between may be missing for ever: only a list can mend that."""
    with pytest.raises(BrokenStreamError, match="of resourceVersion 9 came after 10"):
        list(reader().feed(line))


def test_versions_are_compared_as_numbers() -> None:
    """As text, 100 would be before 99."""
    assert [e.version for e in reader(99).feed(event("ADDED", config_map("a", 100)))] == ["100"]


def test_an_expired_watch_is_gone_however_it_is_told() -> None:
    """The server may notice only after it has answered 200, and then says so in an event."""
    line = event("ERROR", status_object(410, "Expired", "too old resource version: 10 (12)"))
    with pytest.raises(Gone, match="watch configmaps: 410 Expired: too old resource version"):
        list(reader().feed(line))


@pytest.mark.parametrize(
    "line",
    [
        b"<html>\n",
        b"{\n",
        b"[]\n",
        b"3\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": {"metadata": {}}}\n',
        b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "12"}}}\n',
        b'{"type": "ERROR", "object": {}}\n',
        b"\xff\xfe\xfd\n",
    ],
)
def test_a_line_that_is_no_event_is_refused(line: bytes) -> None:
    """Passing over it could be passing over the deletion of a pod."""
    with pytest.raises(BrokenStreamError, match="a line is no event"):
        list(reader().feed(line))


def test_events_before_a_broken_line_count() -> None:
    """They came in order and whole."""
    events = reader()
    found = events.feed(event("ADDED", config_map("a", 11)) + b"garbage\n")
    assert next(found).version == "11"
    with pytest.raises(BrokenStreamError):
        next(found)
    assert events.position == "11"


def test_an_event_that_is_nested_too_deep_is_no_event() -> None:
    """The reflector begins anew and says why; it does not end."""
    with pytest.raises(BrokenStreamError, match="RecursionError"):
        list(reader().feed(b"[" * 100_000 + b"\n"))
