"""Which way does a request go? Asked of the very bytes that Envoy has.

    walk = simulate(snapshot, Request("GET", "shop.example.com", "/cart", port=10080))

Pure. It follows Envoy 1.40 through listener, filter chain, virtual host, route, filters, rewrites and cluster to the
endpoints; what only the moment decides (tokens in a bucket, another service's answer) is named, chance is counted in
shares. tests/kernel/xds asks the real Envoy the same questions.
"""

from __future__ import annotations

from sampan.xds.simulate.types import End, Member, Request, Stage, Step, Walk
from sampan.xds.simulate.walk import simulate

__all__ = ["End", "Member", "Request", "Stage", "Step", "Walk", "simulate"]
