"""`sampan up --nodes N` of a running cluster: what it cannot do yet is said."""

from types import SimpleNamespace

from sampan.cli import up


def test_up_names_the_nodes_that_wait_for_the_next_start(tmp_path, monkeypatch, capsys):
    made = SimpleNamespace(
        name="c",
        directory=tmp_path,
        plan=SimpleNamespace(nodes=("node-0", "node-1")),
        run=tmp_path,
        node_run=lambda n: tmp_path / n,
    )
    (tmp_path / "node-0").mkdir()
    monkeypatch.setattr(up, "prepare", lambda *given: made)
    monkeypatch.setattr(up, "running", lambda cluster: 7)
    monkeypatch.setattr(up, "_stay", lambda *given, **named: 0)

    up.up(cluster="c", nodes=2, detach=True)
    assert "not before the next start: node-1 " in capsys.readouterr().out

    (tmp_path / "node-1").mkdir()
    up.up(cluster="c", nodes=2, detach=True)
    assert "next start" not in capsys.readouterr().out
