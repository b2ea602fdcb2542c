"""Cutting `managedFields` out of bytes: what is left is what was there, whatever stands in the strings around it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.kube.lean import lean

Json = dict[str, Any]

TEXTS = st.one_of(
    st.text('ab"\\\\]}[{,:é', max_size=12),
    st.sampled_from(
        [
            ',"managedFields":[',
            '"managedFields":[',
            ']},"spec":',
            "\\",
            '\\"',
            '"]},"spec":{',
            "managedFields",
            'a,"managedFields":[{}]},"spec":{}',
        ]
    ),
)
MANAGED = st.lists(
    st.fixed_dictionaries(
        {
            "manager": TEXTS,
            "fieldsType": st.just("FieldsV1"),
            "fieldsV1": st.dictionaries(TEXTS, st.dictionaries(TEXTS, st.just({}), max_size=2), max_size=3),
        }
    ),
    max_size=2,
)


@st.composite
def objects(draw: st.DrawFn) -> Json:
    """An object in Kubernetes' order of fields, or in another, with or without what is to be cut."""
    metadata: Json = {"name": draw(TEXTS), "annotations": draw(st.dictionaries(TEXTS, TEXTS, max_size=2))}
    if draw(st.booleans()):
        metadata["managedFields"] = draw(MANAGED)
    if draw(st.booleans()):
        metadata["selfLink"] = draw(TEXTS)
    spec = {"env": draw(st.lists(TEXTS, max_size=3)), "nested": {"metadata": {"x": draw(TEXTS)}, "spec": draw(TEXTS)}}
    parts = [("metadata", metadata), ("spec", spec), ("status", {"message": draw(TEXTS)})]
    return dict(draw(st.permutations(parts)) if draw(st.booleans()) else parts)


def written(items: list[Json]) -> bytes:
    """As the API server writes: no blanks, and no escapes but those that JSON demands."""
    return json.dumps({"items": items}, separators=(",", ":"), ensure_ascii=False).encode()


def without(obj: Json) -> Json:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


@given(st.lists(objects(), max_size=4))
def test_nothing_else_is_lost(items: list[Json]) -> None:
    """Each object is as it was, but for its managed fields, which are whole or gone."""
    left = json.loads(lean(written(items)))["items"]
    assert [without(obj) for obj in left] == [without(obj) for obj in items]
    for before, after in zip(items, left, strict=True):
        managed = after["metadata"].get("managedFields")
        assert managed is None or managed == before["metadata"]["managedFields"]


POD: Json = {
    "metadata": {
        "name": "train-1-0",
        "managedFields": [
            {"manager": "berth", "operation": "Apply", "fieldsV1": {"f:spec": {'k:{"name":"trainer"}': {".": {}}}}},
            {"manager": "kubelet", "subresource": "status", "fieldsV1": {"f:status": {"f:phase": {}}}},
        ],
    },
    "spec": {"nodeName": "n1"},
}


def test_a_pod_as_the_api_server_writes_it_is_cut() -> None:
    """All entries at once, of each object of a list."""
    assert json.loads(lean(written([POD, POD]))) == {"items": [without(POD), without(POD)]}


@pytest.mark.parametrize("payload", [b"", b"<html>", b'{"kind":"Status"}', b'{"metadata":{"managedFields":[]}}'])
def test_what_has_nothing_to_cut_stays_as_it_is(payload: bytes) -> None:
    """Errors and other kinds pass through."""
    assert lean(payload) == payload
