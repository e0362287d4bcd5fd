"""Questions: who am I, who may do what, whose is this token. They are answered and never stored.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.api import fields, schema
from sampan.api.kinds.review import AUTHENTICATION, AUTHORIZATION
from sampan.api.meta import Obj
from sampan.api.rbac import Ask
from sampan.api.status import ApiError, FieldError, bad_request, invalid
from sampan.base.http.types import Request, Response
from sampan.server import answer, negotiate
from sampan.server.authn import Authenticator
from sampan.server.authz import Authorizer
from sampan.server.types import User
from sampan.server.verbs import Target

Action = Callable[[Request, Target], Awaitable[Response]]
_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class Reviews:
    """`actions`: resource id → what answers a create."""

    def __init__(self, authorizer: Authorizer, authenticator: Authenticator) -> None:
        self._authorizer = authorizer
        self._authenticator = authenticator
        statuses: dict[str, Callable[[Target, Obj], Obj]] = {
            f"selfsubjectreviews.{AUTHENTICATION}": lambda target, body: {"userInfo": target.user.info()},
            f"tokenreviews.{AUTHENTICATION}": self._token,
            f"selfsubjectaccessreviews.{AUTHORIZATION}": self._self_access,
            f"subjectaccessreviews.{AUTHORIZATION}": self._access,
            f"localsubjectaccessreviews.{AUTHORIZATION}": self._local_access,
            f"selfsubjectrulesreviews.{AUTHORIZATION}": self._rules,
        }
        self.actions = {resource: _action(status) for resource, status in statuses.items()}

    def _self_access(self, target: Target, body: Obj) -> Obj:
        return self._judge(target, body, target.user)

    def _access(self, target: Target, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        if not spec.get("user") and not spec.get("groups"):
            text = "at least one of user or group must be specified"
            raise _invalid(target, fields.invalid("spec.user", "", text))
        return self._judge(target, body, _subject(spec))

    def _local_access(self, target: Target, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        asked = (spec.get("resourceAttributes") or {}).get("namespace") or ""
        if asked != target.namespace:
            text = f"namespace must match required namespace: {fields.quote(target.namespace)}"
            raise _invalid(target, fields.invalid("spec.resourceAttributes.namespace", asked, text))
        return self._access(target, body)

    def _judge(self, target: Target, body: Obj, user: User) -> Obj:
        allowed, why = self._authorizer.decide(user, _ask(target, body.get("spec") or {}))
        return {"allowed": allowed} | ({"reason": why} if why else {})

    def _rules(self, target: Target, body: Obj) -> Obj:
        namespace = (body.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise bad_request("no namespace on request")
        rules, missing = self._authorizer.rules(target.user, namespace)
        found = {
            "resourceRules": [r for r in rules if not r.get("nonResourceURLs")],
            "nonResourceRules": [r for r in rules if r.get("nonResourceURLs")],
            "incomplete": bool(missing),
        }
        return found | ({"evaluationError": ", ".join(f"{role} not found" for role in missing)} if missing else {})

    def _token(self, target: Target, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        try:
            user, audiences = self._authenticator.by_token(spec["token"], tuple(spec.get("audiences") or ()))
        except ApiError as error:
            return {"authenticated": False, "user": {}, "error": error.message}
        return {"authenticated": True, "user": user.info()} | ({"audiences": list(audiences)} if audiences else {})


def _action(status: Callable[[Target, Obj], Obj]) -> Action:
    async def act(request: Request, target: Target) -> Response:
        options = negotiate.options(target.query, target.user)
        body, options.warnings = schema.decode(target.resource, negotiate.json_body(request), options.validation)
        body.setdefault("apiVersion", target.resource.api_version)
        body.setdefault("kind", target.resource.kind)
        shown = {**body, "metadata": {"creationTimestamp": None, **(body.get("metadata") or {})}}
        return answer.warn(answer.json(201, {**shown, "status": status(target, body)}), options.warnings)

    return act


def _ask(target: Target, spec: Obj) -> Ask:
    """The question in a review's spec. Raises ApiError 422."""
    about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if about is not None and path is not None:
        raise _invalid(target, fields.invalid("spec.nonResourceAttributes", fields.OMIT, _BOTH))
    if path is not None:
        return Ask(path.get("verb") or "", path=path.get("path") or "/")
    if about is None:
        raise _invalid(target, fields.invalid("spec.resourceAttributes", fields.OMIT, _NEITHER))
    subresource, resource = about.get("subresource"), about.get("resource") or ""
    return Ask(
        about.get("verb") or "",
        about.get("group") or "",
        f"{resource}/{subresource}" if subresource else resource,
        about.get("namespace") or "",
        about.get("name") or "",
    )


def _subject(spec: Obj) -> User:
    return User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")


def _invalid(target: Target, error: FieldError) -> ApiError:
    return invalid(target.resource.group, target.resource.kind, "", [error])
