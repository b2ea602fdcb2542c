"""Moments as statuses have them, in numbers and as commands print them."""

from datetime import datetime

from berth.text import age


def seconds(moment: str | None) -> int | None:
    """An RFC 3339 time in unix seconds; None for none, or for what is no time."""
    try:
        return int(datetime.fromisoformat(moment).timestamp()) if moment else None
    except ValueError:
        return None


def since(moment: str | None, now: int) -> str:
    """The age of something; `-` if its time is not known."""
    at = seconds(moment)
    return "-" if at is None else age(now - at)


def until(moment: str | None, now: int) -> str:
    """How far away a moment is: `25m`, `due` if it is over; `-` if there is none."""
    at = seconds(moment)
    if at is None:
        return "-"
    return age(at - now) if at > now else "due"
