"""Sending a request on: targets, timeouts, mirrors, upgrades, hashing."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2

from sampan import ir
from sampan.xds.build.headers import change_request, change_response
from sampan.xds.build.rewrites import rewrite
from sampan.xds.build.tcp_proxy import NOBODY
from sampan.xds.messages import Message, boolean, duration, share, uint32

# What the HTTP connection manager says for all routes; a route repeats only what differs.
STREAM_IDLE_TIMEOUT = 300.0
UPGRADES = ("websocket",)


def forward(made: Message, wanted: ir.Forward, path: ir.PathMatch) -> None:
    """`made` is a Route. Without any target that has a weight there is nobody to ask: 500, as Gateway API has it."""
    if not any(target.weight for target in wanted.targets):
        made.direct_response.status = 500
        return
    action = made.route
    _targets(action, wanted.targets)
    # Envoy's default would be 15 s.
    action.timeout.CopyFrom(duration(wanted.timeout))
    if wanted.idle_timeout != STREAM_IDLE_TIMEOUT:
        action.idle_timeout.CopyFrom(duration(wanted.idle_timeout))
    if wanted.try_timeout:
        # All else of retries Envoy takes from the cluster: see retries.py.
        action.retry_policy.per_try_timeout.CopyFrom(duration(wanted.try_timeout))
    if wanted.rewrite:
        rewrite(action, wanted.rewrite, path)
    action.request_mirror_policies.extend(map(_mirror, wanted.mirrors))
    if wanted.upgrades != UPGRADES:
        for protocol in dict.fromkeys((*UPGRADES, *wanted.upgrades)):
            action.upgrade_configs.add(upgrade_type=protocol, enabled=boolean(protocol in wanted.upgrades))
    action.hash_policy.extend(map(_hash, wanted.hash_on))


def _targets(action: Message, targets: tuple[ir.Target, ...]) -> None:
    alive = [target for target in targets if target.weight]
    if not all(target.cluster for target in alive):
        action.cluster_not_found_response_code = route_components_pb2.RouteAction.INTERNAL_SERVER_ERROR
    if len(alive) == 1 and not (alive[0].request_headers or alive[0].response_headers):
        action.cluster = alive[0].cluster or NOBODY
        return
    for target in alive:
        made = action.weighted_clusters.clusters.add(name=target.cluster or NOBODY, weight=uint32(target.weight))
        change_request(made, target.request_headers)
        change_response(made, target.response_headers)


def _mirror(wanted: ir.Mirror) -> Message:
    made = route_components_pb2.RouteAction.RequestMirrorPolicy(
        cluster=wanted.cluster, runtime_fraction=share(wanted.share), disable_shadow_host_suffix_append=True
    )
    if wanted.host:
        made.host_rewrite_literal = wanted.host
    return made


def _hash(source: str) -> Message:
    made = route_components_pb2.RouteAction.HashPolicy()
    kind, _, name = source.partition(":")
    match kind:
        case "header":
            made.header.header_name = name
        case "cookie":
            made.cookie.name = name
        case "query":
            made.query_parameter.name = name
        case "path":
            made.header.header_name = ":path"
        case "source-ip":
            made.connection_properties.source_ip = True
        case _:
            raise ValueError(f"hash_on {source!r}")
    return made
