"""The comparison of rights with requests, by which the chart's roles are judged."""

import pytest

from tests.integration.audit import Grant, Request, grants, ungranted, unneeded

ROLES = [
    {
        "metadata": {"name": "all"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    },
    {
        "metadata": {"name": "here", "namespace": "ns"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]}],
    },
]
GET, LIST, MAP = (
    Grant("all", "", "pods", "get"),
    Grant("all", "", "pods", "list"),
    Grant("here", "", "configmaps", "get", "ns", ("one",)),
)
USED = [
    Request("", "pods", "get", "a", "x"),
    Request("", "pods", "list", "", ""),
    Request("", "configmaps", "get", "ns", "one"),
]


def test_a_role_is_told_verb_by_verb() -> None:
    """With its namespace and its names."""
    assert list(grants(ROLES)) == [GET, LIST, MAP]


def test_what_is_granted_and_used_is_neither_too_much_nor_too_little() -> None:
    """Each grant by a request of its own."""
    assert (unneeded([GET, LIST, MAP], USED), ungranted([GET, LIST, MAP], USED)) == ([], [])


@pytest.mark.parametrize("grant", [GET, LIST, MAP], ids=str)
def test_a_verb_that_is_taken_away_is_missed(grant: Grant) -> None:
    """Whichever it is."""
    assert len(ungranted({GET, LIST, MAP} - {grant}, USED)) == 1


def test_a_verb_that_nobody_uses_is_found() -> None:
    """One more than needed."""
    more = Grant("all", "", "pods", "delete")
    assert unneeded([GET, LIST, MAP, more], USED) == [more]


def test_a_verb_that_is_granted_twice_is_found() -> None:
    """Taking either away would not be noticed."""
    again = Grant("other", "", "pods", "list")
    assert unneeded([GET, LIST, MAP, again], USED) == [LIST, again]


@pytest.mark.parametrize(
    "request_",
    [Request("", "configmaps", "get", "ns", "two"), Request("", "configmaps", "get", "other", "one")],
    ids=str,
)
def test_a_name_and_a_namespace_count(request_: Request) -> None:
    """A rule for one object in one namespace is for no other."""
    assert ungranted([MAP], [request_]) == [request_]
