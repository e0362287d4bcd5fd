"""Mutating and validating webhooks: who is asked, in which order, and what an answer or a failure means.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from sampan.api.fields import quote
from sampan.api.meta import Obj, copy
from sampan.api.patch import json as json_patch
from sampan.api.status import ApiError, bad_request, internal
from sampan.base import log
from sampan.server.admission import Attributes
from sampan.server.hooks.matching import ConditionFault, conditions_match, review_request, selectors_match
from sampan.server.webhook_client import WebhookClient, WebhookError

_log = log.get("webhooks")
_VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")


@dataclass(frozen=True)
class Webhook:
    """One webhook of a configuration."""

    spec: Obj

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def may_fail(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    @property
    def again(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"


class Webhooks:
    def __init__(self, client: WebhookClient) -> None:
        self._client = client

    async def mutate(self, hooks: Iterable[Webhook], request: Attributes, warnings: list[str]) -> Obj | None:
        """The object after all webhooks, one after the other. Raises ApiError of the one that refuses."""
        asked: list[tuple[Webhook, Obj | None]] = []
        for hook in hooks:
            await self._change(hook, request, warnings)
            asked.append((hook, request.obj))
        for hook, left in asked:
            if hook.again and request.obj is not left and request.obj != left:
                await self._change(hook, request, warnings)
        return request.obj

    async def validate(self, hooks: Iterable[Webhook], request: Attributes, warnings: list[str]) -> None:
        """Ask all at once. Raises ApiError of the first one, in their order, that refuses."""
        answers = await asyncio.gather(*(self._ask(hook, request, warnings) for hook in hooks), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _change(self, hook: Webhook, request: Attributes, warnings: list[str]) -> None:
        answer = await self._ask(hook, request, warnings)
        if not answer or not answer.get("patch"):
            return
        try:
            if answer.get("patchType") != "JSONPatch":
                raise ValueError(f"webhook returned response.patch but not response.patchType: {answer}")
            patch = orjson.loads(base64.b64decode(answer["patch"]))
            if request.obj is not None:
                request.obj = json_patch.apply(copy(request.obj), patch)
        except (ValueError, binascii.Error, ApiError) as error:
            if not hook.may_fail:
                raise internal(f"failed calling webhook {quote(hook.name)}: {error}") from None
            _log.warning("webhook %s: its patch is ignored: %s", hook.name, error)

    async def _ask(self, hook: Webhook, request: Attributes, warnings: list[str]) -> Obj | None:
        """The AdmissionResponse, None when it does not concern the webhook or its failure is ignored."""
        if not selectors_match(hook.spec, request):
            return None
        uid = str(uuid4())
        asked = review_request(request, uid)
        try:
            if not _conditions(hook, asked):
                return None
        except ConditionFault as fault:
            if hook.may_fail:
                return None
            raise internal(f"failed calling webhook {quote(hook.name)}: {fault}") from None
        if request.dry_run and hook.spec.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise bad_request(f"admission webhook {quote(hook.name)} does not support dry run")
        try:
            answer = await self._call(hook, asked, uid)
        except WebhookError as error:
            if hook.may_fail:
                _log.warning("failed calling webhook, failing open %s: %s", hook.name, error)
                return None
            raise internal(f"failed calling webhook {quote(hook.name)}: {error}") from None
        warnings += answer.get("warnings") or ()
        if not answer.get("allowed"):
            raise _denied(hook, answer.get("status") or {})
        return answer

    async def _call(self, hook: Webhook, asked: Obj, uid: str) -> Obj:
        accepted = hook.spec.get("admissionReviewVersions") or ()
        version = next((v for v in _VERSIONS if v.rpartition("/")[2] in accepted), _VERSIONS[0])
        body = {"kind": "AdmissionReview", "apiVersion": version, "request": asked}
        timeout = float(hook.spec.get("timeoutSeconds") or 10)
        review = await self._client.post(hook.spec["clientConfig"], body, timeout)
        answer = review.get("response")
        if not isinstance(answer, dict):
            raise WebhookError("webhook response was absent")
        if answer.get("uid") != uid:
            raise WebhookError(f"expected response.uid={quote(uid)}, got {quote(str(answer.get('uid', '')))}")
        return answer


def _conditions(hook: Webhook, asked: Obj) -> bool:
    conditions = hook.spec.get("matchConditions") or ()
    if not conditions:
        return True
    bindings: dict[str, Any] = {"object": asked["object"], "oldObject": asked["oldObject"], "request": asked}
    return conditions_match(conditions, bindings)


def _denied(hook: Webhook, status: Obj) -> ApiError:
    denied = f"admission webhook {quote(hook.name)} denied the request"
    why = status.get("message") or status.get("reason")
    message = f"{denied}: {why}" if why else f"{denied} without explanation"
    return ApiError(max(int(status.get("code") or 0), 400), status.get("reason") or "", message, status.get("details"))
