"""LoadBalancer Services get an address of the cluster's pool: the part of MetalLB's controller.

Announcing it is not needed, for this machine routes the whole pool (node.network, serviceproxy.lbroutes).
Source: MetalLB's controller/service.go, https://metallb.io/usage/.
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import Controller, Env
from sampan.controllers.keys import own_key
from sampan.controllers.loadbalancer_pool import Pool, Refused, use_of, wanted
from sampan.controllers.writes import patch_exactly

SERVICES = "services"
# Services with another loadBalancerClass are somebody else's; those without one are ours.
CLASS = "sampan.io/load-balancer"


def controller(cidr: str) -> Controller:
    # One worker: two Services that were created together never look at the same free address.
    return Controller("service-lb-controller", {SERVICES: own_key}, _Balancers(cidr).reconcile, workers=1)


class _Balancers:
    """Who has which address is kept here, ahead of the caches; a new process reads it from the Services' status."""

    def __init__(self, cidr: str) -> None:
        self._pool = Pool(cidr)
        self._uids: dict[Key, str] = {}
        self._refused: dict[Key, str] = {}  # the Services that wait, longest first, and what they were told
        self._freed = False  # … since the last time those that wait were served
        self._learned = False

    async def reconcile(self, key: Key, env: Env) -> None:
        if not self._learned:
            self._learn(env)
        failures = [await self._try(key, env)]
        if self._freed:
            failures += [await self._try(waiting, env) for waiting in list(self._refused) if waiting != key]
            self._freed = any(failures)
        if failed := next(filter(None, failures), None):
            raise failed  # this key comes back, and with it those that wait

    def _learn(self, env: Env) -> None:
        """Those that have an address keep it, before anybody gets a new one."""
        self._learned = True
        for service in sorted(
            env.caches[SERVICES].list(), key=lambda s: (s["metadata"].get("creationTimestamp", ""), meta.key(s))
        ):
            if _is_ours(service):
                self._adopt(service)

    def _adopt(self, service: Obj) -> str:
        """Believe its status; why that cannot be, or ""."""
        key, shown = meta.key(service), _shown(service)
        if not self._pool.of(key) and shown:
            try:
                self._pool.take(key, shown, use_of(service))
            except Refused as why:
                return str(why)
            self._uids[key] = meta.uid(service)
        return ""

    async def _try(self, key: Key, env: Env) -> ApiError | None:
        try:
            await self._converge(key, env)
        except ApiError as error:
            if error.code != 404:
                self._refused.setdefault(key, "")  # the address is its own, but its status does not say so yet
                return error
        return None

    async def _converge(self, key: Key, env: Env) -> None:
        service = env.caches[SERVICES].get(key)
        if service is None or self._uids.get(key) != meta.uid(service):
            self._release(key)
        if service is None:
            return
        if not _is_ours(service):
            self._release(key)
            if service["spec"].get("type") != "LoadBalancer":
                await _show(env, service, "")
            return
        self._review(service, env)
        if not self._pool.of(key):
            self._allocate(service, env)
        await _show(env, service, self._pool.of(key))

    def _review(self, service: Obj, env: Env) -> None:
        """Take the address away that it may not have any longer, or no longer wants."""
        key = meta.key(service)
        why = self._adopt(service)
        if current := self._pool.of(key):
            try:
                self._pool.take(key, current, use_of(service))  # it may share no longer, or have other ports
            except Refused as error:
                why = str(error)
        if why:
            text = f'current IP for "{key}" not allowed by config, will attempt for new IP assignment: {why}'
            env.events.event(service, "Normal", "ClearAssignment", text)
            self._release(key)
        if current := self._pool.of(key):
            try:
                asked = wanted(service)
            except Refused as error:  # it makes no sense: the Service keeps what it has
                self._tell(service, env, "LoadBalancerFailed", f"invalid requested loadbalancer IPs: {error}")
                return
            if asked in ("", current):
                self._refused.pop(key, None)
            else:
                self._release(key)

    def _allocate(self, service: Obj, env: Env) -> None:
        key, use = meta.key(service), use_of(service)
        try:
            if ip := wanted(service):
                self._pool.take(key, ip, use)
            else:
                ip = self._pool.next(key, use)
        except Refused as why:
            self._tell(service, env, "AllocationFailed", f'Failed to allocate IP for "{key}": {why}')
            return
        self._uids[key] = meta.uid(service)
        self._refused.pop(key, None)
        env.events.event(service, "Normal", "IPAllocated", f'Assigned IP ["{ip}"]')

    def _tell(self, service: Obj, env: Env, reason: str, text: str) -> None:
        """Once: it is tried again whenever an address becomes free."""
        if self._refused.get(meta.key(service)) != text:
            self._refused[meta.key(service)] = text
            self._uids[meta.key(service)] = meta.uid(service)
            env.events.event(service, "Warning", reason, text)

    def _release(self, key: Key) -> None:
        self._uids.pop(key, None)
        self._refused.pop(key, None)
        self._freed |= self._pool.release(key)


def _is_ours(service: Obj) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") in (None, CLASS)


def _shown(service: Obj) -> str:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return str(ingress[0].get("ip", "")) if ingress else ""


async def _show(env: Env, service: Obj, ip: str) -> None:
    """Write the address into the status, unless it is there. Raises ApiError 409 when the Service has changed since."""
    ingress = [{"ip": ip, "ipMode": "VIP"}] if ip else None
    if ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") == ingress:
        return
    await patch_exactly(
        env, SERVICES, service, {"status": {"loadBalancer": {"ingress": ingress}}}, subresource="status"
    )
