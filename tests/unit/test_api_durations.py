"""Durations on the wire."""

import pytest

from berth.api.durations import Duration, seconds_of, written


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("72h", 259_200), ("1h30m", 5400), ("45s", 45), ("1h1m1s", 3661), ("0s", 0)]
)
def test_hours_minutes_and_seconds_are_read(text: str, seconds: int) -> None:
    """In that order, each at most once."""
    assert seconds_of(text) == seconds
    assert seconds_of(written(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "3d", "90", "1.5h", "30m1h", "1h 30m", "-1h", "1000000h", "h"])
def test_anything_else_is_refused(text: str) -> None:
    """The text says what would do."""
    with pytest.raises(ValueError, match="is not hours, minutes and seconds, in that order, such as 90m"):
        seconds_of(text)


def test_the_message_names_the_least() -> None:
    """And what the duration is for."""
    assert Duration(60, "how long").message == (
        "must be hours, minutes and seconds, such as 90m, 72h or 1h30m, at least 1m: how long"
    )
