"""Node affinity of a template: read for planning, and joined with the tie to the node that the plan chose.

Only what is required counts in planning. What is preferred is passed on as it is: a pod that is tied to one node has
no choice left. Required affinity to pods is refused by the schema, because a plan cannot see what it would refuse.
"""

from typing import Any

from berth.core.affinity import Clause, Term, Terms

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def required(spec: dict[str, Any]) -> Terms:
    """The required node affinity of a pod's spec."""
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return tuple(_term(term) for term in (node.get(REQUIRED) or {}).get("nodeSelectorTerms") or ())


def tie(spec: dict[str, Any], node: str) -> None:
    """Require a node, beside whatever the pod's spec requires already."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = dict(spec.get("affinity") or {})
    of_nodes = dict(affinity.get("nodeAffinity") or {})
    terms = (of_nodes.get(REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    tied = [{**term, "matchFields": [*(term.get("matchFields") or ()), field]} for term in terms]
    of_nodes[REQUIRED] = {"nodeSelectorTerms": tied}
    spec["affinity"] = {**affinity, "nodeAffinity": of_nodes}


def _term(wire: dict[str, Any]) -> Term:
    labels = tuple(_clause(entry, name=False) for entry in wire.get("matchExpressions") or ())
    return labels + tuple(_clause(entry, name=True) for entry in wire.get("matchFields") or ())


def _clause(wire: dict[str, Any], *, name: bool) -> Clause:
    return Clause(wire["key"], wire["operator"], tuple(wire.get("values") or ()), name)
