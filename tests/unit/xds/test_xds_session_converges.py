"""Whatever happens in whatever order, a client that answers has the newest snapshot in the end, and at no time a
reference to something it does not have."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from xdsclient import Client

from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Resource, Snapshot

NAMES = "abcd"
# One world: version of each cluster that is there, and the clusters that the route leads to.
worlds = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), max_size=4).flatmap(
    lambda clusters: st.tuples(
        st.just(clusters), st.sets(st.sampled_from(sorted(clusters))) if clusters else st.just(set()), st.integers(1, 3)
    )
)
steps = st.lists(st.one_of(worlds, st.sampled_from(["say", "hear", "wait", "reconnect", "forget"])), max_size=40)


def snapshot(number, world):
    clusters, led_to, endpoints = world

    def resource(name, version, refers=""):
        return Resource(
            name, str(version), f"{name} {version} {refers}".encode(), (), f"e{name}" if refers == "eds" else ""
        )

    routes = " ".join(sorted(led_to))
    return Snapshot(
        number,
        {
            CLUSTER: {n: resource(n, v, "eds") for n, v in clusters.items()},
            ENDPOINTS: {f"e{n}": resource(f"e{n}", endpoints) for n in clusters},
            LISTENER: {"l": resource("l", 1)},
            ROUTES: {"r": resource("r", routes or "none", routes)},
        },
    )


@settings(max_examples=300, deadline=None)
# What a client may have from another server came back, and went again before it was sent.
@example(
    True, ["say", ({"a": 1, "b": 1}, set(), 1), "hear", "forget", ({"a": 1}, set(), 1), "say", ({"b": 1}, set(), 1)]
)
@given(st.booleans(), steps)
def test_it_converges_and_never_breaks_before_it_makes(delta, happened):
    client = Client(delta)
    number = 0
    for what in happened:
        if isinstance(what, tuple):
            number += 1
            client.publish(snapshot(number, what))
        else:
            getattr(client, what)()
        client.check()
    client.publish(snapshot(number + 1, ({"a": 1}, {"a"}, 3)))
    client.finish()
    assert client.has() == {"CDS": {"a": "1"}, "EDS": {"ea": "3"}, "LDS": {"l": "1"}, "RDS": {"r": "a"}}
