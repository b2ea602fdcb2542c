"""Words of the commands: ages, moments, cut and wrapped texts, and nothing that commands a terminal."""

import pytest

from berth.cli.screen import Screen, labelled
from berth.cli.words import seconds, since, until
from berth.text import Column, age, clean, cut, table, width, wrapped

HOUR, DAY = 3_600, 86_400


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (179 * 60, "179m"),
        (3 * HOUR, "3h"),
        (5 * HOUR + 610, "5h10m"),
        (8 * HOUR, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (100 * DAY, "100d"),
        (800 * DAY, "2y70d"),
    ],
)
def test_an_age_is_told_as_kubectl_tells_it(span: int, text: str) -> None:
    """At most two units, the finer the younger."""
    assert age(span) == text


def test_moments_that_are_missing_or_no_times_are_a_dash() -> None:
    """A status of another version never ends a command."""
    assert (since(None, 0), since("soon", 0), until(None, 0), seconds("")) == ("-", "-", "-", None)
    assert (since("1970-01-01T00:00:10Z", 40), until("1970-01-01T00:10:00Z", 0)) == ("30s", "10m")
    assert until("1970-01-01T00:00:10Z", 10) == "due"


def test_last_words_of_a_container_cannot_command_the_terminal() -> None:
    """Escapes, bells and line ends are left out; letters of any script stay."""
    assert clean("\x1b[2Jboom\r\n\tCUDA \x07error: 显存不足") == "[2Jboom CUDA error: 显存不足"


def test_a_wide_letter_takes_two_columns_wherever_text_is_cut_or_wrapped() -> None:
    """Columns are counted as a terminal shows them."""
    assert (width("显存"), width("e\u0301"), width("abc")) == (4, 1, 3)
    assert (cut("显存不足", 5), cut("abcdef", 4), cut("abcd", 4)) == ("显存…", "abc…", "abcd")
    assert wrapped("显存不足 abc", 5) == ["显存", "不足", "abc"]


def test_wrapped_text_keeps_every_word() -> None:
    """Lines are broken at blanks, and a word only where it is longer than a line; no text is one empty line."""
    assert wrapped("needs 3 nodes under one leaf", 12) == ["needs 3", "nodes under", "one leaf"]
    assert wrapped("spec.template.spec", 8) == ["spec.tem", "plate.sp", "ec"]
    assert wrapped("", 8) == [""]


COLUMNS = (Column("NAME", least=6), Column("NODES", right=True), Column("WHY", least=8))


def test_a_table_is_cut_from_its_end_and_never_narrower_than_told() -> None:
    """First the last of the columns that may be cut; what still does not fit stands over the edge."""
    rows = [["llama-70b", "32", "needs 32 free nodes"], ["bert", "4", ""]]
    assert table(COLUMNS, rows, None) == [
        "NAME       NODES  WHY",
        "llama-70b     32  needs 32 free nodes",
        "bert           4  -",
    ]
    assert table(COLUMNS, rows, 30)[1] == "llama-70b     32  needs 32 fr…"
    assert table(COLUMNS, rows, 24)[1] == "llama-…     32  needs 3…"
    assert table(COLUMNS, rows, 3)[1] == "llama…     32  needs 3…"
    assert table(COLUMNS, [], 80) == []


def test_text_beside_a_label_is_wrapped_under_itself() -> None:
    """The second line begins where the first text does."""
    assert labelled("why", "needs 3 nodes under one leaf", 34) == [
        "  why               needs 3 nodes",
        "                    under one leaf",
    ]


def test_where_output_goes_decides_on_width_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a pipe nothing is cut or coloured; COLUMNS cuts anyway; NO_COLOR takes colours from a terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert Screen.found() == Screen(None, colour=False)
    monkeypatch.setenv("COLUMNS", "120")
    assert Screen.found() == Screen(120, colour=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert Screen.found() == Screen(120, colour=True)
    assert Screen.found().state("Failed") == "\x1b[31mFailed\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen.found().state("Failed") == "Failed"
