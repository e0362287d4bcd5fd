"""What an Envoy of a pod must know before it knows anything: where its configuration comes from.

Two sources of ADS, as Envoy's xDS failover has it: the cluster's server, and a replay process in the pod itself. What
that means (grpc_mux_failover.h of Envoy 1.40, and tests/kernel/xds/):

* two failures in a row to reach the server, and Envoy asks the replay; it alternates until one of them answers
* once the *server* has answered, Envoy never asks the replay again in its life: it keeps what it has and tries on
* once the *replay* has answered, it stays the source until it closes the stream; then Envoy asks the server first. So
  the replay closes its streams as soon as the server can be reached.

The certificate is read from files by SDS, so that it may change: `identity` is what is in the SDS files.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADMIN = ("127.0.0.1", 15000)
REPLAY = ("127.0.0.1", 15011)
HEALTH_PORT = 15021
READY_PATH = "/healthz/ready"
STATS_PATH = "/stats/prometheus"
DRAIN_PATH = "/drain_listeners?graceful&skip_exit"
"""POST it to the admin address before SIGTERM: connections are told to go, new ones are still taken meanwhile."""

# Failing to reach a source takes 2 tries: the replay is asked after some 300 ms, the server is back in as little.
_BACKOFF = {"base_interval": "0.1s", "max_interval": "0.5s"}
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NETWORK = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors"


@dataclass(frozen=True, slots=True)
class Pod:
    """`node_id` is the pod's own; `kind` says which snapshot it gets ("sampan-system/gateway"). `server`: (host, port)
    of the xDS server, `server_name` what its certificate says; `sds`: the directory of the files of `identity`.

    `heap`: bytes at which new requests are refused; `connections`: at which new connections are.
    """

    node_id: str
    kind: str
    server: tuple[str, int]
    server_name: str
    sds: Path
    zone: str = ""
    heap: int = 1 << 30
    connections: int = 50_000


def bootstrap(pod: Pod) -> dict[str, Any]:
    """Envoy's bootstrap, as JSON."""
    return {
        "node": {"id": pod.node_id, "cluster": pod.kind, "locality": {"zone": pod.zone}},
        "admin": {"address": _address(*ADMIN)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [_source("xds"), _source("xds-replay")],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {
            "listeners": [_health()],
            "clusters": [
                _cluster("xds", pod.server, http2=True) | {"transport_socket": _tls(pod)},
                _cluster("xds-replay", REPLAY, http2=True),
                _cluster("admin", ADMIN),
            ],
        },
        "layered_runtime": {"layers": [{"name": "sampan", "static_layer": _RUNTIME}]},
        "overload_manager": _overload(pod),
        # Most clusters of a gateway get no request for long: their hundred counters are made when one comes.
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
    }


def arguments(config: Path, *, concurrency: int, drain_seconds: int = 30) -> list[str]:
    """The command line. One configuration is replaced by the next in the process: hot restarts are of no use here."""
    return [
        *("--config-path", str(config)),
        *("--concurrency", str(concurrency)),
        *("--drain-time-s", str(drain_seconds)),
        "--disable-hot-restart",
        *("--log-level", "warning"),
        # It writes a line for each request that is too large; those are the access log's.
        *("--component-log-level", "http:critical"),
    ]


def identity(certificate: Path, key: Path, ca: Path) -> dict[str, dict[str, Any]]:
    """The SDS files: name in the directory `Pod.sds` → content. The files that they name are watched by directory:
    they must be replaced by renaming (a directory, or a symbolic link to one)."""
    pair = {
        "@type": f"{_TLS}.Secret",
        "name": "identity",
        "tls_certificate": {
            "certificate_chain": {"filename": str(certificate)},
            "private_key": {"filename": str(key)},
            "watched_directory": {"path": str(certificate.parent)},
        },
    }
    roots = {
        "@type": f"{_TLS}.Secret",
        "name": "roots",
        "validation_context": {
            "trusted_ca": {"filename": str(ca)},
            "watched_directory": {"path": str(ca.parent)},
        },
    }
    return {"identity.json": {"resources": [pair]}, "roots.json": {"resources": [roots]}}


_RUNTIME: dict[str, Any] = {
    "envoy.restart_features.xds_failover_support": True,
    "envoy.reloadable_features.xds_failover_to_primary_enabled": True,
    # Users' regular expressions, and those that stand for hundreds of names: RE2 is linear whatever their size.
    "re2.max_program_size.error_level": 100_000,
    "re2.max_program_size.warn_level": 100_000,
}


def _source(cluster: str) -> dict[str, Any]:
    return {"envoy_grpc": {"cluster_name": cluster, "retry_policy": {"retry_back_off": _BACKOFF}}}


def _cluster(name: str, address: tuple[str, int], *, http2: bool = False) -> dict[str, Any]:
    host, port = address
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC" if _is_ip(host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, port)}}]}],
        },
    }
    if http2:
        # A server that vanished without a word (its machine is off) is noticed.
        keepalive = {"interval": "10s", "timeout": "5s"}
        options = {"explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}}}
        made["typed_extension_protocol_options"] = {_HTTP.rpartition("/")[2]: {"@type": _HTTP} | options}
    return made


def _tls(pod: Pod) -> dict[str, Any]:
    def file(name: str) -> dict[str, Any]:
        source = {"path_config_source": {"path": str(pod.sds / f"{name}.json")}, "resource_api_version": "V3"}
        return {"name": name, "sds_config": source}

    names = [{"san_type": "IP_ADDRESS" if _is_ip(pod.server_name) else "DNS", "matcher": {"exact": pod.server_name}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}.UpstreamTlsContext",
            "sni": "" if _is_ip(pod.server_name) else pod.server_name,
            "common_tls_context": {
                "tls_certificate_sds_secret_configs": [file("identity")],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": names},
                    "validation_context_sds_secret_config": file("roots"),
                },
                "alpn_protocols": ["h2"],
            },
        },
    }


def _health() -> dict[str, Any]:
    """What probes and Prometheus may see of the admin interface, and nothing else of it."""
    routes = [
        {"match": {"path": path}, "route": {"cluster": "admin", "prefix_rewrite": target}}
        for path, target in ((READY_PATH, "/ready"), (STATS_PATH, "/stats/prometheus"))
    ]
    manager = {
        "@type": _NETWORK,
        "stat_prefix": "health",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "route_config": {"virtual_hosts": [{"name": "health", "domains": ["*"], "routes": routes}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": "health",
        "address": _address("0.0.0.0", HEALTH_PORT),
        "filter_chains": [{"filters": filters}],
        # A proxy that is full is not dead.
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
    }


def _overload(pod: Pod) -> dict[str, Any]:
    def action(name: str, threshold: float) -> dict[str, Any]:
        trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
        return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}

    heap = {"@type": f"{_MONITORS}.fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": pod.heap}
    connections = {
        "@type": f"{_MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": pod.connections,
    }
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.fixed_heap", "typed_config": heap},
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
        ],
        "actions": [action("shrink_heap", 0.95), action("stop_accepting_requests", 0.98)],
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
