"""Refusals of the API server: which exception they become and what it says."""

import json

import pytest

from berth.kube import errors
from tests.unit.kube_wire import status_object


def refused(code: int, reason: str, message: str = "said so", **details: object) -> errors.ApiError:
    payload = json.dumps(status_object(code, reason, message, details)).encode()
    return errors.from_response(request="create pods a/x", status=code, headers={}, payload=payload)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (405, "MethodNotAllowed", errors.ApiError),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (410, "Gone", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.Unavailable),
        (503, "ServiceUnavailable", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
def test_each_refusal_is_told_apart(code: int, reason: str, kind: type[errors.ApiError]) -> None:
    """The class follows from code and reason, so that callers never compare numbers."""
    error = refused(code, reason)
    assert kind is type(error)
    assert (code, reason) == (error.status, error.reason)


def test_only_what_may_pass_by_itself_is_transient() -> None:
    """A retry policy goes by one class: overload, failures of the server and no answer; nothing that is our fault."""
    transient = {errors.TooManyRequests, errors.Unavailable, errors.Unreachable}
    others = {errors.BadRequest, errors.Unauthorized, errors.Forbidden, errors.NotFound, errors.Conflict}
    others |= {errors.AlreadyExists, errors.Gone, errors.Invalid}
    assert transient == {kind for kind in transient | others if issubclass(kind, errors.Transient)}


def test_an_already_existing_object_is_no_conflict() -> None:
    """A handler of conflicts must not take the success of an earlier try for one."""
    assert not issubclass(errors.AlreadyExists, errors.Conflict)


def test_causes_name_field_and_finding() -> None:
    """Each field that was found wrong is there with its path."""
    cause = {"field": "spec.replicas", "reason": "FieldValueInvalid", "message": "must be positive"}
    found = refused(422, "Invalid", causes=[cause]).causes
    assert (errors.Cause(field="spec.replicas", reason="FieldValueInvalid", message="must be positive"),) == found


def test_the_text_names_request_finding_and_message() -> None:
    """What is logged can be acted on without looking anything up."""
    error = refused(404, "NotFound", 'pods "x" not found')
    assert str(error) == 'create pods a/x: 404 NotFound: pods "x" not found'


def test_a_refusal_by_rbac_says_what_to_grant() -> None:
    """The server says who may not do what; the remedy follows. A quota's refusal has no such remedy."""
    rbac = refused(403, "Forbidden", 'User "u" cannot create resource "pods"')
    quota = refused(403, "Forbidden", "exceeded quota: q, requested: pods=1")
    assert str(rbac).endswith('cannot create resource "pods"; grant it in a role bound to that user')
    assert str(quota).endswith("exceeded quota: q, requested: pods=1")


def test_no_answer_asks_the_right_question() -> None:
    """Without a server there is no code to print, but a hint where to look."""
    error = errors.Unreachable(request="get nodes n", status=0, reason="ClientConnectorError", message="refused")
    expected = "get nodes n: ClientConnectorError: refused; is the API server up, and can it be reached from here?"
    assert expected == str(error)


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        ("7", {}, 7.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        ("7", {"retryAfterSeconds": 3}, 7.0),
        (None, {}, None),
        ("Sun, 22 Nov 2026 04:00:00 GMT", {}, None),
    ],
)
def test_the_servers_wish_when_to_come_back_is_kept(
    header: str | None, details: dict[str, int], expected: float | None
) -> None:
    """The header counts before the body; a date, which API servers do not send, counts as no wish."""
    body = status_object(429, "TooManyRequests", "busy", details)
    error = errors.from_status(request="list pods", status=429, body=body, header=header)
    assert expected == error.retry_after


@pytest.mark.parametrize("payload", [b"<html>502 Bad Gateway</html>", b"[1, 2]", b'{"kind": "List"}', b"\xff\xfe"])
def test_an_answer_that_is_no_status_is_quoted(payload: bytes) -> None:
    """A proxy's page or anything else is shown as it came, and the code still decides."""
    error = errors.from_response(request="list pods", status=502, headers={}, payload=payload)
    assert errors.Unavailable is type(error)
    assert payload.decode("utf-8", "replace") == error.message


def test_an_empty_refusal_says_so() -> None:
    """Nobody should look for a message that was never sent."""
    error = errors.from_response(request="list pods", status=503, headers={}, payload=b"")
    assert str(error) == "list pods: 503 Error: (empty answer)"
