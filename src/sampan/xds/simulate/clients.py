"""Who asks: the client's address, and RBAC rules about it (and about headers)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from sampan.xds.messages import Message
from sampan.xds.simulate.headers import Headers
from sampan.xds.simulate.match import header_matches
from sampan.xds.simulate.types import Request


def client_address(manager: Message, request: Request, headers: Headers) -> str:
    """Of so many hops that are trusted, the address that the first of them says it got the request from."""
    hops = manager.xff_num_trusted_hops
    forwarded = [one.strip() for one in (headers.get("x-forwarded-for") or "").split(",") if one.strip()]
    return forwarded[-hops] if hops and len(forwarded) >= hops else request.client


def refused_by(rules: Message, client: str, headers: Headers) -> str:
    """The name of the policy that refuses ("none": no policy allows), "" for who may pass."""
    fits = [name for name, policy in sorted(rules.policies.items()) if _policy(policy, client, headers)]
    if rules.action == rules.ALLOW:
        return "" if fits else "none"
    return fits[0] if rules.action == rules.DENY and fits else ""


def _policy(policy: Message, client: str, headers: Headers) -> bool:
    return any(_rule(one, client, headers) for one in policy.permissions) and any(
        _rule(one, client, headers) for one in policy.principals
    )


def _rule(rule: Message, client: str, headers: Headers) -> bool:
    """A Permission or Principal, which name what they share nearly alike."""
    kind = rule.WhichOneof("rule" if rule.DESCRIPTOR.name == "Permission" else "identifier")
    wanted = getattr(rule, kind)
    if kind in ("and_rules", "and_ids"):
        return all(_rule(one, client, headers) for one in _listed(wanted))
    if kind in ("or_rules", "or_ids"):
        return any(_rule(one, client, headers) for one in _listed(wanted))
    if kind in ("not_rule", "not_id"):
        return not _rule(wanted, client, headers)
    if kind in ("remote_ip", "direct_remote_ip"):
        return _inside(client, wanted)
    if kind == "header":
        return header_matches(wanted, headers)
    return bool(kind == "any" and wanted)


def _listed(wanted: Message) -> list[Message]:
    return list(wanted.rules if wanted.DESCRIPTOR.fields_by_name.get("rules") else wanted.ids)


def _inside(client: str, wanted: Message) -> bool:
    network = ip_network(f"{wanted.address_prefix}/{wanted.prefix_len.value}", strict=False)
    return ip_address(client) in network
