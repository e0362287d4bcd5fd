"""What sessions need of what is built."""

from envoy.config.endpoint.v3 import endpoint_pb2

from sampan import ir
from sampan.xds.build import Builder
from sampan.xds.types import CLUSTER, ENDPOINTS

MEMBERS = (
    ir.Endpoint("10.0.0.1", 80, zone="a"),
    ir.Endpoint("10.0.0.2", 80, zone="b"),
    ir.Endpoint("10.0.0.3", 80, zone="b"),
)


def built():
    clusters = {"c": ir.Cluster("c", "e"), "d": ir.Cluster("d", dns=("example.com", 80))}
    return Builder().build(ir.Proxy(clusters=clusters, endpoints={"e": ir.Endpoints("e", MEMBERS)}))


def test_a_cluster_says_which_endpoints_are_to_be_sent_with_it():
    assert {name: resource.endpoints for name, resource in built().of(CLUSTER).items()} == {"c": "e", "d": ""}


def test_each_locality_has_a_weight():
    """gRPC leaves out those without."""
    message = endpoint_pb2.ClusterLoadAssignment.FromString(built().of(ENDPOINTS)["e"].body)
    assert [(e.locality.zone, e.load_balancing_weight.value) for e in message.endpoints] == [("a", 1), ("b", 2)]
