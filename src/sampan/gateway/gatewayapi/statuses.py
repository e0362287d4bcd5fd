"""What is said in the statuses: conditions with the types and reasons of the specification, messages for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import meta
from sampan.api.gatewayapi import CONTROLLER
from sampan.api.meta import Key, Obj
from sampan.gateway.gatewayapi.attach import Parent
from sampan.gateway.gatewayapi.gateways import Gateway, Set
from sampan.gateway.gatewayapi.listeners import Listener
from sampan.gateway.gatewayapi.names import GROUP, condition, service_name
from sampan.gateway.gatewayapi.policies import Policy
from sampan.gateway.gatewayapi.references import Wrong

Attached = Mapping[tuple[object, str], int]  # (parent, listener) → how many routes


# -- Gateways and ListenerSets


def of_gateway(gateway: Gateway, obj: Obj, addresses: tuple[str, ...], ported: bool, attached: Attached) -> Obj:
    """`ported`: do all its listeners have their ports of the proxy?"""
    conditions = [_accepted(gateway, obj), _programmed(gateway, obj, addresses, ported), _resolved(gateway, obj)]
    if any(clients.insecure for clients in gateway.clients.values()):
        text = "clients without a valid certificate are let in: AllowInsecureFallback"
        conditions.append(condition("InsecureFrontendValidationMode", True, "ConfigurationChanged", text, obj))
    status: Obj = {
        "conditions": conditions,
        "listeners": [_listener(one, obj, gateway.refused, ported, attached) for one in gateway.listeners],
        "attachedListenerSets": sum(one.accepted for one in gateway.sets),
    }
    if addresses:
        status["addresses"] = [{"type": "IPAddress", "value": address} for address in addresses]
    return status


def _accepted(gateway: Gateway, obj: Obj) -> Obj:
    if gateway.refused:
        return condition("Accepted", False, *gateway.refused, obj)
    bad = [one.name for one in gateway.listeners if not one.accepted]
    good = [one.name for one in gateway.all_listeners() if one.accepted]
    if not bad:
        return condition("Accepted", True, "Accepted", "the Gateway is served", obj)
    text = f"not accepted: {', '.join(bad)}; accepted: {', '.join(good) or 'none'}"
    return condition("Accepted", bool(good), "ListenersNotValid", text, obj)


def _programmed(gateway: Gateway, obj: Obj, addresses: tuple[str, ...], ported: bool) -> Obj:
    if not gateway.accepted:
        return condition("Programmed", False, "Invalid", "the Gateway is not accepted", obj)
    if not ported:
        return condition("Programmed", False, "Pending", "waiting for ports of the gateway's proxy", obj)
    wanted = [address["value"] for address in obj["spec"].get("addresses") or () if address.get("value")]
    unusable = [value for value in wanted if value not in addresses]
    if unusable:
        text = f"cannot be had: {', '.join(unusable)}; see the events of Service {service_name(meta.name(obj))}"
        return condition("Programmed", False, "AddressNotUsable", text, obj)
    if not addresses:
        text = f"Service {service_name(meta.name(obj))} has no address yet"
        return condition("Programmed", False, "AddressNotAssigned", text, obj)
    return condition("Programmed", True, "Programmed", f"served at {', '.join(addresses)}", obj)


def _resolved(gateway: Gateway, obj: Obj) -> Obj:
    if gateway.unresolved:
        return condition("ResolvedRefs", False, *gateway.unresolved[0], obj)
    if bad := [one.name for one in gateway.listeners if one.unresolved]:
        return condition("ResolvedRefs", False, "ListenersNotResolved", f"see listeners {', '.join(bad)}", obj)
    return condition("ResolvedRefs", True, "ResolvedRefs", "all references lead somewhere", obj)


def _listener(one: Listener, obj: Obj, refused: Wrong | None, ported: bool, attached: Attached) -> Obj:
    return {
        "name": one.name,
        "supportedKinds": [{"group": GROUP, "kind": kind} for kind in one.kinds],
        "attachedRoutes": attached.get((one.parent, one.name), 0),
        "conditions": list(_listener_conditions(one, obj, refused, ported)),
    }


def _listener_conditions(one: Listener, obj: Obj, refused: Wrong | None, ported: bool) -> Iterable[Obj]:
    against = one.conflict or one.refused
    if against:
        yield condition("Accepted", False, *against, obj)
    else:
        yield condition("Accepted", True, "Accepted", "the listener is valid", obj)
    if against:
        reason = against.reason if one.conflict else "Invalid"
        yield condition("Programmed", False, reason, against.message, obj)
    elif refused:
        yield condition("Programmed", False, "Invalid", refused.message, obj)
    elif not one.usable:
        yield condition("Programmed", False, "Invalid", "no certificate to answer with", obj)
    elif not ported:
        yield condition("Programmed", False, "Pending", "waiting for a port of the gateway's proxy", obj)
    else:
        yield condition("Programmed", True, "Programmed", "the proxy has it", obj)
    if one.unresolved:
        yield condition("ResolvedRefs", False, one.unresolved[0].reason, _all(one.unresolved), obj)
    else:
        yield condition("ResolvedRefs", True, "ResolvedRefs", "all references lead somewhere", obj)
    if one.conflict:
        yield condition("Conflicted", True, *one.conflict, obj)
    else:
        yield condition("Conflicted", False, "NoConflicts", "no other listener is in its way", obj)
    if one.overlaps:
        text = f"its host names overlap with those of {', '.join(one.overlaps)}: clients may reuse connections"
        yield condition("OverlappingTLSConfig", True, "OverlappingHostnames", text, obj)


def of_set(one: Set, obj: Obj, gateway: Gateway, ported: bool, attached: Attached) -> Obj:
    if one.refused:
        pair = [condition(kind, False, *one.refused, obj) for kind in ("Accepted", "Programmed")]
        return {"conditions": pair}
    entries = [_listener(each, obj, gateway.refused, ported, attached) for each in one.listeners]
    return {"conditions": _set_conditions(one, obj, gateway, ported), "listeners": entries}


def _set_conditions(one: Set, obj: Obj, gateway: Gateway, ported: bool) -> list[Obj]:
    bad = [each.name for each in one.listeners if not each.accepted]
    if gateway.refused or not gateway.accepted:
        accepted = condition("Accepted", False, "ParentNotAccepted", "the Gateway is not accepted", obj)
        return [accepted, condition("Programmed", False, "ParentNotProgrammed", "the Gateway is not accepted", obj)]
    text = f"not accepted: {', '.join(bad)}"
    if not one.accepted:
        return [condition(kind, False, "ListenersNotValid", text, obj) for kind in ("Accepted", "Programmed")]
    reason, message = ("ListenersNotValid", text) if bad else ("Accepted", "its listeners are served by the Gateway")
    accepted = condition("Accepted", True, reason, message, obj)
    if not ported:
        waits = "waiting for ports of the gateway's proxy"
        return [accepted, condition("Programmed", False, "Pending", waits, obj)]
    return [accepted, condition("Programmed", True, "Programmed", "the proxy has it", obj)]


def _all(wrong: Iterable[Wrong]) -> str:
    return "; ".join(dict.fromkeys(one.message for one in wrong))


# -- routes


def of_route(
    obj: Obj,
    parents: Iterable[tuple[Parent, Wrong | None]],
    wrong: tuple[Wrong, ...],
    dropped: tuple[str, ...],
    some: bool,
) -> Obj | None:
    """Other controllers' entries stay. `some`: is there a rule that was not dropped? None: nothing to say."""
    old = (obj.get("status") or {}).get("parents") or []
    others = [entry for entry in old if entry.get("controllerName") != CONTROLLER]
    ours = [_parent(obj, parent, refused, wrong, dropped, some) for parent, refused in parents]
    return {"parents": [*others, *ours]} if ours or len(others) != len(old) else None


def _parent(
    obj: Obj, parent: Parent, refused: Wrong | None, wrong: tuple[Wrong, ...], dropped: tuple[str, ...], some: bool
) -> Obj:
    against = parent.refused or refused
    if not against and not some:
        against = Wrong("UnsupportedValue", "; ".join(dropped))
    conditions = []
    if against:
        conditions.append(condition("Accepted", False, *against, obj))
    else:
        conditions.append(condition("Accepted", True, "Accepted", "the route is served", obj))
    if wrong:
        conditions.append(condition("ResolvedRefs", False, wrong[0].reason, _all(wrong), obj))
    else:
        conditions.append(condition("ResolvedRefs", True, "ResolvedRefs", "all references lead somewhere", obj))
    if dropped and not against:
        text = f"Dropped Rule {'; '.join(dropped)}"
        conditions.append(condition("PartiallyInvalid", True, "UnsupportedValue", text, obj))
    return {"parentRef": parent.reference, "controllerName": CONTROLLER, "conditions": conditions}


# -- policies


def of_policy(obj: Obj, policy: Policy, overruled: Key | None, gateways: Iterable[Key]) -> Obj | None:
    """An entry for each Gateway that sends requests to the policy's Services."""
    old = (obj.get("status") or {}).get("ancestors") or []
    others = [entry for entry in old if entry.get("controllerName") != CONTROLLER]
    conditions = []
    if overruled:
        text = f"BackendTLSPolicy {overruled} is older and has the same target"
        conditions.append(condition("Accepted", False, "Conflicted", text, obj))
    elif policy.refused:
        conditions.append(condition("Accepted", False, *policy.refused, obj))
    else:
        conditions.append(condition("Accepted", True, "Accepted", "the policy is used", obj))
    if policy.unresolved:
        wrong = policy.unresolved
        conditions.append(condition("ResolvedRefs", False, wrong[0].reason, _all(wrong), obj))
    else:
        conditions.append(condition("ResolvedRefs", True, "ResolvedRefs", "all references lead somewhere", obj))
    ours = [
        {
            "ancestorRef": {"group": GROUP, "kind": "Gateway", "namespace": key.namespace, "name": key.name},
            "controllerName": CONTROLLER,
            "conditions": conditions,
        }
        for key in sorted(gateways)
    ]
    ours = ours[: max(0, 16 - len(others))]
    return {"ancestors": [*others, *ours]} if ours or len(others) != len(old) else None
