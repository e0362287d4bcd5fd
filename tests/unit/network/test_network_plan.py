"""Which networks a cluster chooses, and the host's nft table as text."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from sampan.base.errors import UserError
from sampan.node.network import NetworkPlan, free_index, host

PLAN = NetworkPlan("dev", 1, ("a", "b"), Path("/run/sampan/dev"))


def test_addresses_follow_from_the_index() -> None:
    assert PLAN.cidrs == ("172.30.1.0/24", "10.243.0.0/16", "10.97.0.0/16")
    assert (PLAN.host_ip, PLAN.node_ip("a"), PLAN.node_ip("b")) == ("172.30.1.1", "172.30.1.2", "172.30.1.3")
    assert (PLAN.node_pod_cidr("b"), PLAN.node_gateway("b")) == ("10.243.1.0/24", "10.243.1.1")
    assert PLAN.lb_cidr == "172.30.1.128/25"
    assert (PLAN.kubernetes_ip, PLAN.dns_ip, PLAN.host_link) == ("10.97.0.1", "10.97.0.10", "sp1-lan")


@pytest.mark.parametrize(
    ("routes", "taken", "expected"),
    [
        ([], (), 0),
        (["192.0.2.0/24"], (), 0),
        (["172.30.0.0/24"], (), 1),
        (["10.96.5.0/24", "10.243.0.7/32"], (), 2),
        ([], (0, 1), 2),
        (["10.0.0.0/8"], (), 0),  # a VPN's route for everything: ours are more specific
        (["10.244.0.0/16", "172.30.1.1/32"], (2,), 3),
    ],
)
def test_first_index_that_collides_with_nothing(routes: list[str], taken: tuple[int, ...], expected: int) -> None:
    assert free_index([IPv4Network(route) for route in routes], taken) == expected


def test_no_index_left_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="no free networks"):
        free_index([IPv4Network("172.16.0.0/12")])


def test_host_table_never_masquerades_inside_the_cluster() -> None:
    text = host.table(PLAN)
    inside = "{ 172.30.1.0/24, 10.243.0.0/16, 10.97.0.0/16 }"
    assert f"ip saddr {{ 172.30.1.0/24, 10.243.0.0/16 }} ip daddr != {inside} masquerade" in text
    assert text.count("@nodeports dnat to 172.30.1.2") == 2
    assert text.count("th dport map @hostports") == 2
    assert "delete" not in text
    assert "flush set" not in text
    assert "flush map" not in text


def test_forwarding_is_restored_by_the_last_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "ip_forward"
    switch.write_text("0\n")
    monkeypatch.setattr(host, "FORWARDING", switch)
    first, second = tmp_path / "run" / "one", tmp_path / "run" / "two"
    for run in (first, second):
        run.mkdir(parents=True)
        host.remember_forwarding(run)
        switch.write_text("1\n")
    host.restore_forwarding(first)
    assert switch.read_text() == "1\n"
    host.restore_forwarding(second)
    assert switch.read_text() == "0\n"
    host.restore_forwarding(second)
    assert switch.read_text() == "0\n"


IPTABLES = """#!/bin/sh
# A filter table with one chain, FORWARD, whose rules are the lines of the file `rules`.
cd "$(dirname "$0")"; shift; verb=$1; shift
case $verb in
-S) echo "-P FORWARD $(cat policy)";;
-C) grep -qxF -e "$*" rules;;
-I) echo "$*" >> rules;;
-D) grep -qxF -e "$*" rules && { grep -vxF -e "$*" rules > left; mv left rules; };;
esac
"""


@pytest.mark.parametrize(("policy", "expected"), [("DROP", 2), ("ACCEPT", 0)])
def test_a_forward_policy_of_drop_gets_two_exceptions(
    policy: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("iptables", IPTABLES), ("nft", "#!/bin/sh\ncat > /dev/null\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    rules = programs / "rules"
    rules.touch()
    (programs / "policy").write_text(policy)
    switch = tmp_path / "switch"
    switch.write_text("0\n")
    monkeypatch.setattr(host, "FORWARDING", switch)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    plan = NetworkPlan("dev", 1, ("a",), tmp_path / "run" / "dev")
    plan.run.mkdir(parents=True)
    host.ensure(plan)
    host.ensure(plan)
    assert switch.read_text() == "1"
    assert len(rules.read_text().splitlines()) == expected
    assert rules.read_text().count("sp1-lan -m comment --comment sampan-dev -j ACCEPT") == expected
    host.remove(plan)
    assert rules.read_text() == ""
    assert switch.read_text() == "0\n"
