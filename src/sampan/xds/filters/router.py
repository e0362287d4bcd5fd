"""Sends the request to the cluster."""

from __future__ import annotations

from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from sampan.xds.messages import Message, boolean, typed

NAME = "envoy.filters.http.router"


def of_listener() -> Message:
    """x-envoy-… headers are for meshes of Envoys: nobody at an edge asked for them. Nor for counters by code and times
    of each cluster, which are a twentieth of a request's cost: codes are counted for each listener."""
    config = typed(router_pb2.Router(suppress_envoy_headers=True, dynamic_stats=boolean(False)))
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=config)
