"""Configurations of the proxies that the gateway is compared with. All do the same work: one listener, the host of the
request chosen among two, then its path among two, requests spread in turn over the same backends with kept connections.

`nginx` and `haproxy` say to backends what ingress-nginx says of the client, as our Ingress translator does.
`usual_envoy` is an Envoy as gateways usually configure it: access log to a file, request ids, retries, all statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HOSTS = ("web.example", "other.example")
PATHS = ("/api/", "/")
BODY = "hello from a backend"
MANY = 1_000_000_000
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_TYPE = "type.googleapis.com/envoy.extensions"


def backend(folder: str, http: int, http2: int) -> str:
    """nginx: answers from memory. /slow takes a quarter of a minute."""
    answer = f'default_type text/plain; return 200 "{BODY}";'
    slow = f'limit_rate 250; default_type text/plain; return 200 "{"slow " * 700}";'
    return f"""worker_processes 1; daemon off; pid {folder}/backend-{http}.pid; error_log /dev/null crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests {MANY}; keepalive_timeout 300s; server_tokens off; {_temporary(folder)}
  http2_max_concurrent_streams 1000;
  server {{
    listen 127.0.0.1:{http}; listen 127.0.0.1:{http2} http2;
    location / {{ {answer} }} location /slow {{ {slow} }}
  }}
}}
"""


def _temporary(folder: str) -> str:
    """The distribution's directories are there only when nginx is installed."""
    return " ".join(f"{what}_temp_path {folder}/{what};" for what in _TEMPORARY)


def nginx(folder: str, port: int, backends: list[int], more: Sequence[str] = ()) -> str:
    """`more`: further paths of the first host."""
    servers = " ".join(f"server 127.0.0.1:{backend};" for backend in backends)
    forward = """proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Scheme $scheme; proxy_set_header X-Scheme $scheme; proxy_set_header Proxy "";"""
    paths = {host: [*PATHS, *(more if host == HOSTS[0] else ())] for host in HOSTS}
    virtual = "\n".join(
        f"  server {{ listen 127.0.0.1:{port}; server_name {host};"
        + " ".join(f"location {path} {{ {forward} }}" for path in paths[host])
        + " }"
        for host in HOSTS
    )
    return f"""worker_processes 1; daemon off; pid {folder}/nginx-{port}.pid; error_log /dev/null crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests {MANY}; keepalive_timeout 300s; server_tokens off; {_temporary(folder)}
  upstream u {{ {servers} keepalive 128; keepalive_requests {MANY}; }}
  server {{ listen 127.0.0.1:{port} default_server; return 404; }}
{virtual}
}}
"""


def haproxy(port: int, backends: list[int], http2: bool = False) -> str:
    servers = "\n".join(f"  server s{b} 127.0.0.1:{b}{' proto h2' if http2 else ''}" for b in backends)
    rules = "\n".join(
        f"  use_backend b if {{ hdr(host) -i {host} }} {{ path_beg {path} }}" for host in HOSTS for path in PATHS
    )
    return f"""global
  nbthread 1
  maxconn 3000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Scheme http
  http-request set-header X-Scheme http
  http-request del-header Proxy
{rules}
backend b
  balance roundrobin
{servers}
"""


def usual_envoy(port: int, log: str, backends: list[int], http2: bool = False) -> dict[str, Any]:
    """A bootstrap. Nothing here is unusual: it is what a gateway asks for when nobody thinks of a request's cost."""
    cluster: dict[str, Any] = {
        "name": "default/web/80",
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {
            "cluster_name": "default/web/80",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(b)}} for b in backends]}],
        },
    }
    if http2:
        name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        options = {"explicit_http_config": {"http2_protocol_options": {}}}
        cluster["typed_extension_protocol_options"] = {name: {"@type": f"type.googleapis.com/{name}", **options}}
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "http",
                    "address": _address(port),
                    "per_connection_buffer_limit_bytes": 32768,
                    "filter_chains": [{"filters": [_manager(log)]}],
                }
            ],
            "clusters": [cluster],
        },
    }


def _manager(log: str) -> dict[str, Any]:
    line = (
        '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
        "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
        '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
        '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER% %DOWNSTREAM_REMOTE_ADDRESS% %ROUTE_NAME%\n'
    )
    file = {
        "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
        "path": log,
        "log_format": {"text_format_source": {"inline_string": line}},
    }
    previous = {"@type": f"{_TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"}
    action = {
        "cluster": "default/web/80",
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            "num_retries": 2,
            "retriable_status_codes": [503],
            "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": previous}],
            "host_selection_retry_max_attempts": 5,
        },
    }
    routes = [{"match": {"prefix": path}, "route": action} for path in PATHS]
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": file}],
        "route_config": {
            "name": "http",
            "virtual_hosts": [{"name": host, "domains": [host], "routes": routes} for host in HOSTS],
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
        ],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
