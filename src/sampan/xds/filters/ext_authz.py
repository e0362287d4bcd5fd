"""Ask another service first, by Envoy's gRPC CheckRequest. Questions by HTTP are asked in `auth`."""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.core.v3 import config_source_pb2, grpc_service_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2

from sampan import ir
from sampan.xds.filters.filter import Filter
from sampan.xds.messages import Message, duration

NAME = "ext_authz"
OPEN = "open"


def of_route(policies: ir.Policies) -> Mapping[str, Message]:
    """Whether it fails open cannot be said by a route: there are two instances."""
    auth = policies.external_auth
    if not auth or not auth.grpc:
        return {}
    settings = ext_authz_pb2.CheckSettings(grpc_service=_service(auth.cluster, auth.host, auth.timeout))
    if auth.body_limit:
        settings.with_request_body.max_request_bytes = auth.body_limit
        settings.with_request_body.allow_partial_message = True
    instance = f"{NAME}/{OPEN}" if auth.fail_open else NAME
    return {instance: ext_authz_pb2.ExtAuthzPerRoute(check_settings=settings)}


def of_listener(argument: str) -> Message:
    """The service is a placeholder: each route names its own."""
    return ext_authz_pb2.ExtAuthz(
        grpc_service=_service("none", "", 1),
        transport_api_version=config_source_pb2.V3,
        failure_mode_allow=argument == OPEN,
    )


def _service(cluster: str, host: str, timeout: float) -> Message:
    grpc = grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=cluster, authority=host)
    return grpc_service_pb2.GrpcService(envoy_grpc=grpc, timeout=duration(timeout))


FILTER = Filter(NAME, of_route, of_listener)
