"""What the API server may answer instead of the object, as exceptions that a caller can tell apart.

The hierarchy follows what the caller does next, not the status code alone: `AlreadyExists` and `Conflict` are
both 409, but the first may be a success of an earlier try and the second asks for a fresh look at the object.
All that is worth trying again unchanged is `Transient`.
"""

# The names are the reasons that the API server itself gives.
# ruff: noqa: N818

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding: `field` is a path, `reason` the server's word, such as `FieldValueRequired`."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """The API server refused or could not be asked. `status` is the HTTP code, 0 when there was no answer."""

    advice: ClassVar[str] = ""

    def __init__(
        self,
        *,
        request: str,
        status: int,
        reason: str,
        message: str,
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(request, status, reason, message)
        self.request = request
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after = retry_after

    def remedy(self) -> str:
        """What the user can do, beyond what the server's message says; empty when nothing general helps."""
        return self.advice

    def __str__(self) -> str:
        found = f"{self.status} {self.reason}" if self.status else self.reason
        text = f"{self.request}: {found}: {self.message}"
        remedy = self.remedy()
        return f"{text}; {remedy}" if remedy else text


class BadRequest(ApiError):
    """400: the request could not be read."""


class Unauthorized(ApiError):
    """401: the server does not know who asks, even after the credentials were loaded anew."""

    advice = "the token or client certificate is not accepted: log in again, or look into the kubeconfig"


class Forbidden(ApiError):
    """403: not allowed, by RBAC, by a quota or by an admission policy. The message says which."""

    def remedy(self) -> str:
        """What to do about a refusal by RBAC; quotas and policies say it in their message."""
        return "grant it in a role bound to that user" if " cannot " in self.message else ""


class NotFound(ApiError):
    """404: no such object, namespace or kind."""


class Conflict(ApiError):
    """409: the object has changed since it was read, or a precondition does not hold. Read it again."""


class AlreadyExists(ApiError):
    """409: an object of that name is there, perhaps made by an earlier try: compare the owner's uid."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is older than what the server remembers. List again."""


class Invalid(ApiError):
    """422: the object breaks rules of its kind; `causes` has one entry for each field."""


class Transient(ApiError):
    """Worth trying again unchanged; `retry_after` is the server's wish in seconds, or None."""


class TooManyRequests(Transient):
    """429: the server sheds load, or (on eviction) a PodDisruptionBudget does not allow it now."""


class Unavailable(Transient):
    """5xx, or an answer that makes no sense: the server or something on the way does not work now."""


class Unreachable(Transient):
    """No answer: refused, cut off or timed out. A write may or may not have taken effect."""

    advice = "is the API server up, and can it be reached from here?"


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def from_response(*, request: str, status: int, headers: Mapping[str, str], payload: bytes) -> ApiError:
    """The error that an HTTP answer of 400 and above stands for; a body that is no Status is quoted."""
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or body.get("kind") != "Status":
        quoted = payload[:300].decode("utf-8", "replace").strip() or "(empty answer)"
        body = {"message": quoted}
    return from_status(request=request, status=status, body=body, header=headers.get("Retry-After"))


def from_status(*, request: str, status: int, body: Mapping[str, Any], header: str | None = None) -> ApiError:
    """The error in a Status object, as answers and ERROR events of watches carry it.

    `header` is the Retry-After header. Its form with a date is not used by API servers and counts as absent.
    """
    reason = str(body.get("reason") or "")
    details = body.get("details") or {}
    retry_after = details.get("retryAfterSeconds") or None
    if header is not None and header.strip().isdecimal():
        retry_after = float(header)
    causes = tuple(
        Cause(field=c.get("field", ""), reason=c.get("reason", ""), message=c.get("message", ""))
        for c in details.get("causes") or ()
    )
    return _kind(status, reason)(
        request=request,
        status=status,
        reason=reason or "Error",
        message=str(body.get("message") or "(no message)"),
        causes=causes,
        retry_after=None if retry_after is None else float(retry_after),
    )


def _kind(status: int, reason: str) -> type[ApiError]:
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if status >= 500:
        return Unavailable
    return _BY_STATUS.get(status, ApiError)
