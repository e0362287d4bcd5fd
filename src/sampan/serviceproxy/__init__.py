"""The kube-proxy role: Services and EndpointSlices become nftables rules of a node. See README.md in this folder."""
