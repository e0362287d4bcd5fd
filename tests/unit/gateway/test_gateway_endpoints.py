"""Services and EndpointSlices → the members behind a name, and only what changed."""

from sampan.gateway.endpoints import EndpointIndex, resolve
from sampan.ir import Endpoint, Endpoints

NAME = "default/web/80"


def service(*ports, name="web"):
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": list(ports)}}


HTTP = {"name": "http", "port": 80}


def ready(ip):
    return {"addresses": [ip], "conditions": {"ready": True}, "nodeName": "n"}


def leaving(ip, serving=True):
    return {"addresses": [ip], "conditions": {"ready": False, "serving": serving, "terminating": True}}


def pieces(*endpoints, of="web", name="web-1", port=8080, port_name="http"):
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port}],
        "endpoints": list(endpoints),
    }


def test_ready_ones_get_traffic_and_those_that_end_are_draining():
    found = resolve(NAME, service(HTTP), [pieces(ready("10.0.0.2"), leaving("10.0.0.1"), leaving("10.0.0.3", False))])
    assert found == Endpoints(NAME, (Endpoint("10.0.0.1", 8080, draining=True), Endpoint("10.0.0.2", 8080, zone="n")))


def test_without_the_service_or_the_port_nobody_is_there():
    assert resolve(NAME, None, [pieces(ready("10.0.0.2"))]) == Endpoints(NAME, ())
    assert resolve(NAME, service({"name": "http", "port": 81}), [pieces(ready("10.0.0.2"))]) == Endpoints(NAME, ())


def test_only_names_in_use_are_told_and_only_when_they_change():
    index = EndpointIndex()
    assert index.service_changed(None, service(HTTP)) == {}, "nobody uses it yet"
    assert index.use([NAME]) == {NAME: Endpoints(NAME, ())}
    one = pieces(ready("10.0.0.2"))
    assert index.slice_changed(None, one) == {NAME: Endpoints(NAME, (Endpoint("10.0.0.2", 8080, zone="n"),))}
    assert index.slice_changed(one, pieces(ready("10.0.0.2"))) == {}, "the same again"
    assert index.slice_changed(one, None) == {NAME: Endpoints(NAME, ())}
    assert index.slice_changed(None, pieces(ready("10.0.0.9"), of="other", name="o")) == {}


def test_a_slice_that_moves_changes_both_services():
    index = EndpointIndex()
    index.service_changed(None, service(HTTP))
    index.service_changed(None, service(HTTP, name="other"))
    index.use([NAME, "default/other/80"])
    here, there = pieces(ready("10.0.0.2")), pieces(ready("10.0.0.2"), of="other")
    index.slice_changed(None, here)
    changed = index.slice_changed(here, there)
    assert {name: len(e.members) for name, e in changed.items()} == {NAME: 0, "default/other/80": 1}


def test_a_renumbered_port_is_another_name():
    index = EndpointIndex()
    index.service_changed(None, service(HTTP))
    index.slice_changed(None, pieces(ready("10.0.0.2")))
    index.use([NAME])
    changed = index.service_changed(service(HTTP), service({"name": "http", "port": 8000}))
    assert changed == {NAME: Endpoints(NAME, ())}
