"""Tokens of pods' service accounts, asked for at the API server and asked for again before they end.

Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken (at 80 % of its life, or when
it is a day old)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.status import ApiError
from sampan.base.clock import Clock
from sampan.client.types import Client
from sampan.node.env import TokenRef

_LOOK = 60.0  # seconds between looks at what is due
_PART, _DAY = 0.8, 86400.0
# A new namespace's service account may come a moment after its first pod.
_TRIES, _WAIT = 20, 0.05


@dataclass
class _Held:
    """A pod's tokens: value and moment (monotonic) of renewal. `renew` has the pod's volumes written again."""

    renew: Callable[[], None]
    tokens: dict[TokenRef, tuple[bytes, float]] = field(default_factory=dict)


class TokenManager:
    """Shared by all pods of the node. `run()` is a task's body."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, _Held] = {}

    async def get(self, pod: Obj, refs: Iterable[TokenRef], renew: Callable[[], None]) -> dict[TokenRef, bytes | str]:
        """The tokens, all asked for at once; for one that is refused, why. `renew` is called when one is due."""
        wanted = list(refs)
        if not wanted:
            return {}
        held = self._held.setdefault(meta.uid(pod), _Held(renew))
        found = await asyncio.gather(*(self._token(pod, ref, held) for ref in wanted))
        return dict(zip(wanted, found, strict=True))

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._held.pop(uid, None)

    async def run(self) -> None:
        """Have tokens renewed in time."""
        while True:
            await self._clock.sleep(_LOOK)
            now = self._clock.monotonic()
            for held in list(self._held.values()):
                if any(due <= now for _, due in held.tokens.values()):
                    held.renew()

    async def _token(self, pod: Obj, ref: TokenRef, held: _Held) -> bytes | str:
        have = held.tokens.get(ref)
        if have and self._clock.monotonic() < have[1]:
            return have[0]
        try:
            status = (await self._request(pod, ref))["status"]
        except ApiError as error:
            return have[0] if have else error.message
        token = str(status["token"]).encode()
        life = (meta.parse_time(status["expirationTimestamp"]) - self._clock.now()).total_seconds()
        held.tokens[ref] = token, self._clock.monotonic() + min(life * _PART, _DAY)
        return token

    async def _request(self, pod: Obj, ref: TokenRef) -> Obj:
        metadata = {"name": pod["spec"].get("serviceAccountName") or "default", "namespace": meta.namespace(pod)}
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name(pod), "uid": meta.uid(pod)}
        spec: Obj = {"expirationSeconds": ref.seconds, "boundObjectRef": bound}
        spec["audiences"] = [ref.audience] if ref.audience else []
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": spec}
        for _ in range(_TRIES):
            try:
                return await self._client.create("serviceaccounts", body, subresource="token")
            except ApiError as error:
                if error.code != 404 or error.details.get("kind") != "serviceaccounts":
                    raise
                await self._clock.sleep(_WAIT)
        return await self._client.create("serviceaccounts", body, subresource="token")
