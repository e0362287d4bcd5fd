"""Which of the host's ports the gateway gets: nobody who is there already loses his."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.app import claims, edge_ports
from sampan.app.config import Cluster, load
from sampan.app.edge_ports import choose
from sampan.base.errors import UserError
from sampan.cli import up
from sampan.node.network import NetworkPlan


def cluster(folder: Path, name: str = "spt", **fields: Any) -> Cluster:
    return Cluster(name, folder, NetworkPlan(name, 3, ("node-0",), folder / "run" / name), 6443, **fields)


@pytest.mark.parametrize(
    ("wanted", "saved", "taken", "expected"),
    [
        ((None, None), None, (), (80, 443)),
        ((None, None), None, (443,), (8080, 8443)),
        ((None, None), None, (80, 8443), (8081, 8444)),
        ((None, None), (8080, 8443), (), (8080, 8443)),  # 80 is free by now, but people know the address
        ((None, None), (80, 443), (80,), (8080, 8443)),
        ((None, None), (0, 8443), (), (0, 8443)),
        ((None, None), (0, 0), (), (0, 0)),
        ((0, None), (80, 443), (80,), (0, 443)),
        ((9000, None), None, (80,), (9000, 443)),
        ((443, None), None, (), (443, 8443)),
        ((9000, 9001), (80, 443), (), (9000, 9001)),
        ((80, 443), (0, 0), (), (80, 443)),
        ((0, 0), None, (80, 443), (0, 0)),
    ],
)
def test_what_is_chosen(wanted: Any, saved: Any, taken: Any, expected: Any) -> None:
    assert choose(wanted, saved, lambda port: port not in taken) == expected


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ((81, None), "port 81 of this machine is taken"),
        ((None, 70000), "--https-port 70000 cannot be"),
        ((-1, None), "--http-port -1 cannot be"),
        ((30080, None), "without the NodePorts 30000-32767"),
        ((9000, 9000), "cannot both be on port 9000"),
    ],
)
def test_wishes_that_cannot_be(wanted: Any, why: str) -> None:
    with pytest.raises(UserError, match=why):
        choose(wanted, None, lambda port: port != 81)


def test_a_port_somebody_listens_on_is_not_free(tmp_path: Path) -> None:
    for address, family in (("127.0.0.1", socket.AF_INET), ("::", socket.AF_INET6)):
        with socket.socket(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, 0))
            port = sock.getsockname()[1]
            sock.listen()
            assert not edge_ports.is_free(cluster(tmp_path), port)
        assert edge_ports.is_free(cluster(tmp_path), port)


def test_ports_of_other_clusters_are_not_free(tmp_path: Path) -> None:
    running = cluster(tmp_path / "elsewhere", "running", chosen_ports=(8500, 8501))
    running = replace(running, plan=replace(running.plan, run=tmp_path / "run" / "running"))
    claims.write(running.run, running.claim)
    (tmp_path / "run" / "odd").mkdir()
    (tmp_path / "run" / "odd" / claims.FILE).write_text("{")
    cluster(tmp_path, "down", chosen_ports=(8600, 0)).save()
    (tmp_path / "clusters" / "broken").mkdir()
    (tmp_path / "clusters" / "broken" / "cluster.json").write_text("{")
    new = cluster(tmp_path)
    assert [edge_ports.is_free(new, port) for port in (8500, 8600, 8700)] == [False, False, True]
    known = replace(new, chosen_ports=(8600, 8601))
    assert edge_ports.is_free(known, 8600)  # it is nobody's while the other one is down
    assert edge_ports.started_with(running) == (8500, 8501)
    assert edge_ports.started_with(new) is None


def test_they_are_kept_and_a_cluster_from_before_has_none(tmp_path: Path) -> None:
    made = cluster(tmp_path, chosen_ports=(80, 0))
    made.save()
    found = load("spt", tmp_path)
    assert found
    assert (found.chosen_ports, found.edge_ports) == ((80, 0), (80, 0))
    path = made.directory / "cluster.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in content.items() if k != "edgePorts"}))
    found = load("spt", tmp_path)
    assert found
    assert (found.chosen_ports, found.edge_ports) == (None, (0, 0))
    for nonsense in ([80], [80, 70000], "x", {"http": 80}, None):
        path.write_text(json.dumps(content | {"edgePorts": nonsense}))
        with pytest.raises(UserError, match="damaged"):
            load("spt", tmp_path)


def test_shown_as_another_machine_would_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_ports, "_address", lambda: "198.51.100.7")
    assert edge_ports.shown((80, 443)) == "http://198.51.100.7:80 https://198.51.100.7:443"
    assert edge_ports.shown((0, 8443)) == "https://198.51.100.7:8443"
    assert edge_ports.shown((0, 0)) == ""


def test_up_says_that_the_ports_are_others_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, now = cluster(tmp_path, chosen_ports=(80, 443)), cluster(tmp_path, chosen_ports=(8080, 8443))
    for old, wanted in ((before, (None, None)), (before, (8080, 8443)), (None, (None, None)), (now, (None, None))):
        up._say_what_moved(old, now, wanted)
    assert capsys.readouterr().out == "  the gateway's ports 80/443 are taken by another program: 8080/8443 instead\n"


def test_up_of_a_running_cluster_says_that_new_ports_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = cluster(tmp_path, chosen_ports=(0, 8443))
    monkeypatch.setattr(up, "edge_ports", SimpleNamespace(started_with=lambda _: (80, 443)))
    made.node_run("node-0").mkdir(parents=True)
    up._say_what_waits(made)
    assert capsys.readouterr().out == "  not before the next start: the gateway's ports none/8443\n"
