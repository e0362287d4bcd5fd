"""Kubernetes `Status` errors, with kube-apiserver's own texts.

Source: k8s.io/apimachinery/pkg/api/errors, pkg/util/validation/field (API reference: Status v1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sampan.api.meta import Obj
from sampan.base.errors import SampanError


@dataclass(frozen=True)
class FieldError:
    """One fault of one field. `type` is a field.ErrorType ("FieldValueInvalid", …); `str()` is kubectl's text."""

    type: str
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


class ApiError(SampanError):
    """A request the API refused. `code` is the HTTP status, `reason` a metav1.StatusReason."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        # The Status' own metadata: a list that expired brings a token to go on with.
        self.metadata: Obj = {}

    def body(self) -> Obj:
        """The Status object that goes over the wire."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            status["details"] = self.details
        return status | {"code": self.code}


def _details(resource: str, name: str = "", **more: Any) -> Obj:
    plural, _, group = resource.partition(".")
    found = {"name": name, "group": group, "kind": plural} | more
    return {k: v for k, v in found.items() if v}


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', _details(resource, name))


def already_exists(resource: str, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', _details(resource, name))


CONFLICT_TEXT = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: str, name: str, why: str = CONFLICT_TEXT) -> ApiError:
    return ApiError(
        409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {why}', _details(resource, name)
    )


def forbidden(resource: str, name: str, why: str) -> ApiError:
    what = f'{resource} "{name}"' if name else resource
    return ApiError(403, "Forbidden", f"{what} is forbidden: {why}", _details(resource, name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, errors: list[FieldError]) -> ApiError:
    """422 with all field errors; several are listed in brackets, as kubectl shows them."""
    qualified = f"{kind}.{group}" if group else kind
    texts = list(dict.fromkeys(str(e) for e in errors))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": e.type, "message": e.text, "field": e.field} for e in errors]
    details = {"name": name, "group": group, "kind": kind, "causes": causes}
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', {k: v for k, v in details.items() if v})


def gone(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> ApiError:
    return ApiError(405, "MethodNotAllowed", message)


def unsupported_media_type(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", message)


def too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", message)


def too_many_requests(message: str, retry: int = 0, causes: list[Obj] | None = None) -> ApiError:
    """`retry`: seconds after which it may go better, 0 unknown."""
    details = {"causes": causes, "retryAfterSeconds": retry}
    return ApiError(429, "TooManyRequests", message, {k: v for k, v in details.items() if v})


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)
