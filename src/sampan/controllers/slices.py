"""Endpoints into EndpointSlices with as few writes as possible. Pure.

A Service with 1,000 pods has ten slices; one pod that changes must rewrite one slice, not ten.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#distribution-of-endpointslices
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from sampan.api import meta
from sampan.api.meta import Obj

RESOURCE = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


@dataclass
class Wanted:
    """All endpoints with the same address family and the same ports."""

    family: str
    ports: list[Obj]
    endpoints: list[Obj] = field(default_factory=list)


@dataclass
class Changes:
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def group(entries: Iterable[tuple[str, list[Obj], Obj]]) -> list[Wanted]:
    """(family, ports, endpoint) gathered by family and ports."""
    groups: dict[tuple[str, bytes], Wanted] = {}
    for family, ports, endpoint in entries:
        groups.setdefault((family, _signature(ports)), Wanted(family, ports)).endpoints.append(endpoint)
    return list(groups.values())


def distribute(base: Obj, wanted: list[Wanted], existing: Iterable[Obj], limit: int) -> Changes:
    """What to write so that the existing slices hold exactly the wanted endpoints.

    `base` is a slice's metadata (labels, ownerReferences, …) without its ports and endpoints.
    """
    pools: dict[tuple[str, bytes], list[Obj]] = defaultdict(list)
    for each in sorted(existing, key=lambda s: (s["metadata"].get("creationTimestamp", ""), meta.name(s))):
        pools[each["addressType"], _signature(each.get("ports") or [])].append(each)
    changes = Changes()
    for want in wanted:
        _distribute_group(base, want, pools.pop((want.family, _signature(want.ports)), []), limit, changes)
    changes.delete += [each for pool in pools.values() for each in pool]
    return _recycled(changes)


def _recycled(changes: Changes) -> Changes:
    """One update instead of a creation and a deletion, where both are of one address family."""
    result = Changes(update=changes.update, delete=list(changes.delete))
    for new in changes.create:
        old = next((each for each in result.delete if each["addressType"] == new["addressType"]), None)
        if old is None:
            result.create.append(new)
        else:
            result.delete.remove(old)
            result.update.append(new | {"metadata": _renewed(old, new["metadata"])})
    return result


def _distribute_group(base: Obj, want: Wanted, pool: list[Obj], limit: int, changes: Changes) -> None:
    missing = {_identity(e): e for e in want.endpoints}
    contents = [_keep(each, missing) for each in pool]
    changed = [kept != (each.get("endpoints") or []) for each, kept in zip(pool, contents, strict=True)]
    # Slices that are written anyway take the newcomers first; then the fullest one that has room for all of them.
    for i, kept in enumerate(contents):
        if changed[i] and kept:
            _fill(kept, missing, limit)
    if missing:
        roomy = [i for i, kept in enumerate(contents) if len(missing) % limit + len(kept) <= limit]
        if roomy and (rest := len(missing) % limit):
            i = max(roomy, key=lambda i: len(contents[i]))
            _fill(contents[i], missing, len(contents[i]) + rest)
            changed[i] = True
    keep_one_empty = not want.endpoints
    for i, (each, kept) in enumerate(zip(pool, contents, strict=True)):
        if not kept and not (keep_one_empty and i == 0):
            changes.delete.append(each)
        elif changed[i] or not _has_base(each, base):
            changes.update.append(_slice(base, want, kept, each))
    rest_of_all = list(missing.values())
    for start in range(0, len(rest_of_all), limit):
        changes.create.append(_slice(base, want, rest_of_all[start : start + limit]))
    if keep_one_empty and not pool:
        changes.create.append(_slice(base, want, []))


def _keep(existing: Obj, missing: dict[str, Obj]) -> list[Obj]:
    """The endpoints of a slice that are still wanted, as they are wanted now; they leave `missing`."""
    found = (missing.pop(_identity(e), None) for e in existing.get("endpoints") or ())
    return [e for e in found if e is not None]


def _fill(kept: list[Obj], missing: dict[str, Obj], limit: int) -> None:
    for identity in list(missing)[: max(0, limit - len(kept))]:
        kept.append(missing.pop(identity))


def _identity(endpoint: Obj) -> str:
    return str((endpoint.get("targetRef") or {}).get("uid", "")) + "/" + str(endpoint["addresses"][0])


def _signature(ports: list[Obj]) -> bytes:
    return orjson.dumps(sorted(orjson.dumps(p, option=orjson.OPT_SORT_KEYS).decode() for p in ports))


def _has_base(existing: Obj, base: Obj) -> bool:
    return meta.labels(existing) == meta.labels(base) and existing["metadata"].get("ownerReferences") == base[
        "metadata"
    ].get("ownerReferences")


def _slice(base: Obj, want: Wanted, endpoints: list[Obj], existing: Obj | None = None) -> Obj:
    metadata = base["metadata"] if existing is None else _renewed(existing, base["metadata"])
    return {**base, "metadata": metadata, "addressType": want.family, "endpoints": endpoints, "ports": want.ports}


def _renewed(existing: Obj, metadata: Obj) -> Obj:
    """The metadata of a slice that is kept, with the labels and owner it has now."""
    return {**existing["metadata"], **{k: metadata[k] for k in ("labels", "ownerReferences")}}
