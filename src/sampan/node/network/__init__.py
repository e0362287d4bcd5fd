"""The cluster's network: a LAN of node namespaces on this machine (ARCHITECTURE.md, "Networks").

    host ns                      lan ns                    node ns (one a node)             pod ns
    sp<i>-lan  .1 ── veth ── host ┐
                                  bridge lan ── n<k> ── veth ── lan0 .(2+k)
                                                                bridge pods, gateway .1 ── veth ── eth0 /32

The LAN's bridge has a namespace of its own, so that frames between nodes never pass the host's netfilter: with
br_netfilter loaded they would otherwise meet the host's rules (Docker sets the forward policy to drop).

Everything here blocks and runs in the host's network namespace; the supervisor calls it before it starts the agents.
"""

from sampan.node.network.links import ensure_cluster_network, leftovers, remove_cluster_network
from sampan.node.network.plan import LAN_LINK, POD_BRIDGE, NetworkPlan, choose_plan, free_index, local_networks

__all__ = [
    "LAN_LINK",
    "POD_BRIDGE",
    "NetworkPlan",
    "choose_plan",
    "ensure_cluster_network",
    "free_index",
    "leftovers",
    "local_networks",
    "remove_cluster_network",
]
