"""ir.Proxy → Snapshot, building only what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sampan import ir
from sampan.xds import types
from sampan.xds.build.chains import NO_TABLE, Surroundings
from sampan.xds.build.clusters import Clusters
from sampan.xds.build.endpoints import endpoints_resource
from sampan.xds.build.kept import Kept
from sampan.xds.build.listeners import listener_resource
from sampan.xds.build.secrets import secret_resource
from sampan.xds.build.vhosts import Table
from sampan.xds.types import Resource, Snapshot


class Builder:
    """For one kind of proxy. What it made of a part is kept: an equal part is the same Resource again."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._clusters: Kept[str, tuple[ir.Cluster, frozenset[str]], Resource] = Kept()
        self._shapes = Clusters()
        self._endpoints: dict[str, tuple[ir.Endpoints, Resource]] = {}
        self._nobody: Kept[str, ir.Endpoints, Resource] = Kept()
        self._referred: frozenset[str] = frozenset()
        self._secrets: Kept[str, ir.Secret, Resource] = Kept()
        self._listeners: Kept[str, tuple[ir.Listener, object], Resource | None] = Kept()
        self._tables: dict[str, Table] = {}
        self._routes: Kept[str, ir.RouteTable, tuple[Resource, frozenset[str]]] = Kept()
        self._filters: dict[str, frozenset[str]] = {}

    def build(self, proxy: ir.Proxy) -> Snapshot:
        """Of endpoints that are known already the proxy's are ignored: `update_endpoints` is ahead of it."""
        resources = {
            types.CLUSTER: self._all_clusters(proxy),
            types.ENDPOINTS: self._all_endpoints(proxy),
            types.SECRET: _by_name(self._secrets.all(proxy.secrets.items(), secret_resource)),
            types.ROUTES: self._all_tables(proxy),
        }
        resources[types.LISTENER] = self._all_listeners(proxy)
        return self._next({url: resources[url] for url in types.TYPES})

    def update_endpoints(self, changed: Mapping[str, ir.Endpoints | None]) -> Snapshot:
        """None: nobody has that port any more. Clusters that still refer to it have no endpoints then."""
        now = dict(self._snapshot.of(types.ENDPOINTS))
        for name, endpoints in changed.items():
            if endpoints is None and name in self._referred:
                endpoints = ir.Endpoints(name, ())
            if endpoints is None:
                self._endpoints.pop(name, None)
                now.pop(name, None)
            else:
                now[name] = self._endpoint(endpoints)
        return self._next({**self._snapshot.resources, types.ENDPOINTS: now})

    def _all_clusters(self, proxy: ir.Proxy) -> dict[str, Resource]:
        self._referred = frozenset(c.endpoints for c in proxy.clusters.values() if c.endpoints)
        parts = [(name, (cluster, _secrets_of(cluster, proxy))) for name, cluster in proxy.clusters.items()]
        return _by_name(self._clusters.all(parts, lambda part: self._shapes.resource(*part)))

    def _all_endpoints(self, proxy: ir.Proxy) -> dict[str, Resource]:
        known = self._endpoints
        made = {name: known[name][1] if name in known else self._endpoint(e) for name, e in proxy.endpoints.items()}
        # Clusters that refer to nobody: an empty answer, as Envoy would wait for one.
        missing = sorted(self._referred - made.keys())
        nobody = self._nobody.all(((name, ir.Endpoints(name, ())) for name in missing), endpoints_resource)
        for name, empty in zip(missing, nobody, strict=True):
            made[name] = known[name][1] if name in known else empty
        self._endpoints = {name: known[name] for name in made if name in known}
        return made

    def _endpoint(self, endpoints: ir.Endpoints) -> Resource:
        known = self._endpoints.get(endpoints.name)
        if known and known[0] == endpoints:
            return known[1]
        made = endpoints_resource(endpoints)
        self._endpoints[endpoints.name] = (endpoints, made)
        return made

    def _all_tables(self, proxy: ir.Proxy) -> dict[str, Resource]:
        self._tables = {name: self._tables.get(name) or Table(name) for name in proxy.tables}
        made = self._routes.all(proxy.tables.items(), lambda table: self._tables[table.name].build(table))
        # Filters stay in a listener once a route has needed them: to take one out would close its old connections.
        self._filters = {
            resource.name: filters | self._filters.get(resource.name, frozenset()) for resource, filters in made
        }
        return _by_name(resource for resource, _ in made)

    def _all_listeners(self, proxy: ir.Proxy) -> dict[str, Resource]:
        around = Surroundings(proxy.tables, self._filters, proxy.secrets)
        made: list[Resource | None] = self._listeners.all(
            ((name, (listener, self._depends(listener, proxy))) for name, listener in proxy.listeners.items()),
            lambda part: listener_resource(part[0], around),
        )
        return _by_name(resource for resource in made if resource)

    def _depends(self, listener: ir.Listener, proxy: ir.Proxy) -> object:
        """What of the other parts is in a listener's bytes."""
        tables, names = [], []
        for chain in listener.chains:
            if isinstance(chain.handler, ir.Http):
                table = chain.handler.table
                tables.append((proxy.tables.get(table, NO_TABLE).not_found, self._filters.get(table, frozenset())))
            if chain.tls:
                names.extend([*chain.tls.certificates, chain.tls.client_ca])
        return tuple(tables), frozenset(name for name in names if name in proxy.secrets)

    def _next(self, resources: Mapping[str, Mapping[str, Resource]]) -> Snapshot:
        """The same snapshot when nothing is new; of types without news the same resources."""
        before = self._snapshot.resources
        now = {url: made if made is (had := before.get(url)) else _kept(had, made) for url, made in resources.items()}
        if not before or any(now[url] is not before[url] for url in now):
            self._snapshot = Snapshot(self._snapshot.version + 1, MappingProxyType(now))
        return self._snapshot


def _kept(had: Mapping[str, Resource] | None, made: Mapping[str, Resource]) -> Mapping[str, Resource]:
    return had if had is not None and had == made else MappingProxyType(made)


_NONE: frozenset[str] = frozenset()


def _secrets_of(cluster: ir.Cluster, proxy: ir.Proxy) -> frozenset[str]:
    if not cluster.tls:
        return _NONE
    return frozenset(name for name in (cluster.tls.client_certificate, cluster.tls.ca) if name in proxy.secrets)


def _by_name(made: Iterable[Resource]) -> dict[str, Resource]:
    return {resource.name: resource for resource in made}
