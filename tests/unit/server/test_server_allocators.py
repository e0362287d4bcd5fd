"""ClusterIPs and node ports: who gets which, and what comes back."""

import random
from ipaddress import IPv4Network

import pytest

from sampan.api.status import ApiError
from sampan.server.allocators import Numbers, Services, Taken


def services():
    return Services(IPv4Network("10.96.0.0/16"), (30000, 32767), random.Random(1))


def service(kind="ClusterIP", ports=((80, "TCP", 0),), **spec):
    listed = [{"port": p, "protocol": proto} | ({"nodePort": node} if node else {}) for p, proto, node in ports]
    return {"metadata": {"name": "s", "namespace": "n"}, "spec": {"type": kind, "ports": listed, **spec}}


def test_random_addresses_stay_out_of_the_static_band():
    pool = services()
    taken = []
    for _ in range(300):
        made = service()
        pool.reserve(made, None).commit()
        taken.append(made["spec"]["clusterIP"])
    assert len(set(taken)) == 300
    low = IPv4Network("10.96.0.0/24")
    assert not [ip for ip in taken if ip.startswith(str(low.network_address)[:-1])]


def test_a_full_range_says_so():
    pool = Numbers(1, 4, 2, random.Random(1))
    assert sorted(pool.next() for _ in range(4)) == [1, 2, 3, 4]
    with pytest.raises(Taken, match="range is full"):
        pool.next()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {"clusterIP": "10.96.0.9"},
            'Service "s" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.0.9"}: '
            "failed to allocate IP 10.96.0.9: provided IP is already allocated",
        ),
        (
            {"clusterIP": "10.1.0.9"},
            'Service "s" is invalid: spec.clusterIPs: Invalid value: []string{"10.1.0.9"}: failed to allocate IP '
            "10.1.0.9: the provided IP (10.1.0.9) is not in the valid range. The range of valid IPs is 10.96.0.0/16",
        ),
        (
            {"kind": "NodePort", "ports": ((80, "TCP", 80),)},
            'Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid '
            "range. The range of valid ports is 30000-32767",
        ),
        (
            {"kind": "NodePort", "ports": ((81, "TCP", 0), (80, "TCP", 31001))},
            'Service "s" is invalid: spec.ports[1].nodePort: Invalid value: 31001: provided port is already allocated',
        ),
    ],
)
def test_refusals_in_kubernetes_words_leave_nothing_taken(spec, text):
    pool = services()
    pool.rebuild([service("NodePort", ((80, "TCP", 31001),), clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"])])
    before = set(pool.addresses.used), set(pool.ports.used)
    with pytest.raises(ApiError) as error:
        pool.reserve(service(**spec), None)
    assert error.value.message == text
    assert (pool.addresses.used, pool.ports.used) == before


def test_one_service_may_use_a_number_for_two_protocols():
    pool = services()
    made = service("NodePort", ((53, "UDP", 0), (53, "TCP", 0)))
    pool.reserve(made, None).commit()
    numbers = [p["nodePort"] for p in made["spec"]["ports"]]
    assert numbers[0] == numbers[1]
    explicit = service("NodePort", ((53, "UDP", 30053), (53, "TCP", 30053)))
    pool.reserve(explicit, None)
    with pytest.raises(ApiError, match="already allocated"):
        pool.reserve(service("NodePort", ((53, "UDP", 30053),)), None)


def test_headless_and_external_names_take_nothing():
    pool = services()
    headless, external = service(clusterIP="None"), service("ExternalName", externalName="example.com")
    pool.reserve(headless, None)
    pool.reserve(external, None)
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert "clusterIP" not in external["spec"]
    assert not pool.addresses.used


def test_an_update_keeps_what_it_does_not_name_and_gives_back_what_it_drops():
    pool = services()
    old = service("NodePort")
    pool.reserve(old, None).commit()
    new = service("NodePort")
    pool.inherit(new, old)
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"] == old["spec"]["ports"]
    plain = service()
    plain["spec"]["ports"] = [dict(old["spec"]["ports"][0])]
    pool.inherit(plain, old)
    assert "nodePort" not in plain["spec"]["ports"][0]
    lease = pool.reserve(plain, old)
    assert pool.ports.used  # until the write went through
    lease.commit()
    assert not pool.ports.used
    pool.release(plain)
    assert not pool.addresses.used


def test_a_cancelled_reservation_is_free_again():
    pool = services()
    pool.reserve(service("NodePort"), None).cancel()
    assert not pool.addresses.used
    assert not pool.ports.used


def test_local_load_balancers_get_a_health_check_port():
    pool = services()
    made = service("LoadBalancer", externalTrafficPolicy="Local")
    pool.reserve(made, None).commit()
    assert made["spec"]["healthCheckNodePort"] in pool.ports.used
