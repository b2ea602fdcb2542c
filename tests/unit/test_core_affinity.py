"""Required node affinity of a template, by the rules of Kubernetes."""

import pytest

from berth.act.affinity import REQUIRED, required
from berth.core.admission import find, refusal
from berth.core.affinity import Clause, Terms, admits, told
from berth.core.model import Gang
from tests.builders import a_gang, a_pool, by_name, node

LABELS = {"zone": "a", "gen": "3", "empty": ""}


def clause(key: str, operator: str, *values: str, name: bool = False) -> Clause:
    return Clause(key, operator, values, name)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (clause("zone", "In", "a", "b"), True),
        (clause("zone", "In", "b"), False),
        (clause("none", "In", "a"), False),
        (clause("zone", "NotIn", "a"), False),
        (clause("zone", "NotIn", "b"), True),
        (clause("none", "NotIn", "a"), True),
        (clause("empty", "Exists"), True),
        (clause("none", "Exists"), False),
        (clause("zone", "DoesNotExist"), False),
        (clause("none", "DoesNotExist"), True),
        (clause("gen", "Gt", "2"), True),
        (clause("gen", "Gt", "3"), False),
        (clause("gen", "Lt", "4"), True),
        (clause("gen", "Lt", "3"), False),
        (clause("zone", "Gt", "2"), False),
        (clause("none", "Lt", "2"), False),
        (clause("metadata.name", "In", "n1", name=True), True),
        (clause("metadata.name", "NotIn", "n1", name=True), False),
        (clause("zone", "Near", "a"), False),
    ],
    ids=str,
)
def test_a_clause_means_what_it_means_in_kubernetes(one: Clause, expected: bool) -> None:
    """NotIn is satisfied by a node without the label; Gt and Lt compare integers, and nothing else."""
    assert admits(((one,),), "n1", LABELS) == expected


def test_terms_are_alternatives_and_clauses_are_not() -> None:
    """An empty term matches nothing; no terms at all ask for nothing."""
    yes, no = clause("zone", "Exists"), clause("none", "Exists")
    cases: list[tuple[Terms, bool]] = [
        (((no,), (yes,)), True),
        (((no, yes),), False),
        (((yes, yes),), True),
        (((),), False),
        ((), True),
    ]
    for terms, expected in cases:
        assert admits(terms, "n1", LABELS) == expected, told(terms)


def test_a_gang_sits_only_where_its_affinity_lets_it() -> None:
    """And hears which clause keeps nodes out."""
    pools = by_name(a_pool("h800", (), [node("n0", labels={"zone": "a"}), node("n1", labels={"zone": "b"})]))
    gang = Gang(1, 8, affinity=((clause("zone", "In", "b", "c"),),))
    berth = find(gang, pools)
    assert berth is not None
    assert berth.placement(1, 0).nodes == ("n1",)
    assert find(a_gang(2, 8), pools) is not None
    wanted = Gang(1, 8, affinity=((clause("zone", "In", "c", "d", "e", "f"),), (clause("gen", "Exists"),)))
    text = "(2 of 2 nodes: node affinity: not zone In c, d, e, … or gen Exists)"
    assert text in refusal(wanted, pools).message


def test_it_is_read_from_the_pod_that_the_api_server_would_make() -> None:
    """Labels and the node's name; what is only preferred is not counted."""
    spec = {
        "affinity": {
            "nodeAffinity": {
                REQUIRED: {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n9"]}],
                        },
                        {"matchExpressions": [{"key": "gen", "operator": "Exists"}]},
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
            }
        }
    }
    assert required(spec) == (
        (clause("zone", "In", "a"), clause("metadata.name", "NotIn", "n9", name=True)),
        (clause("gen", "Exists"),),
    )
    assert required({}) == required({"affinity": {"podAffinity": {}}}) == ()
