"""A pod's bootstrap: where the real Envoy goes for its configuration, when its sources come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import golden
import grpc
import pytest
from adsserver import AdsServer
from envoylab import EnvoyLab

from sampan import ir
from sampan.base.netns import inside
from sampan.xds import bootstrap
from sampan.xds.build import Builder
from sampan.xds.types import Snapshot


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[EnvoyLab]:
    lab = EnvoyLab(tmp_path)
    try:
        yield lab
    finally:
        lab.close()


def answers(body: str) -> Snapshot:
    """A configuration of which one can tell the source."""
    hosts = (ir.VirtualHost("any", ("*",), (ir.Route("r", ir.Match(), ir.Respond(200, body)),)),)
    listener = ir.Listener("http", 10080, (ir.SniChain("all", ir.Http("t")),))
    return Builder().build(ir.Proxy({"http": listener}, {"t": ir.RouteTable("t", hosts)}))


def primary(lab: EnvoyLab) -> AdsServer:
    """The server, with the certificate that the bootstrap expects and asking for the pod's."""
    chain, key = golden.pair(("xds.test",))
    credentials = grpc.ssl_server_credentials([(key, chain)], chain, require_client_auth=True)
    with inside(lab.netns):
        return AdsServer("127.0.0.1:15012", credentials)


def until(check: Callable[[], bool], seconds: float = 10) -> float:
    """How long it took."""
    start = time.monotonic()
    while not check():
        assert time.monotonic() < start + seconds
        time.sleep(0.02)
    return time.monotonic() - start


def body(lab: EnvoyLab) -> str:
    try:
        return lab.request("http://h:10080/").body
    except OSError:
        return ""


def test_the_replay_is_asked_when_the_server_is_not_there_and_left_for_it(lab: EnvoyLab) -> None:
    lab.push(answers("replayed"))
    assert until(lambda: body(lab) == "replayed") < 5
    server = primary(lab)
    server.snapshot = answers("newest")
    time.sleep(1)
    assert body(lab) == "replayed"  # as long as the replay's stream is open
    lab.ads.close_streams()
    assert until(lambda: body(lab) == "newest") < 5
    server.stop()


def test_the_server_alone_is_asked_once_it_has_answered(lab: EnvoyLab) -> None:
    server = primary(lab)
    server.push(answers("first"))
    assert until(lambda: body(lab) == "first") < 5
    server.stop()
    lab.ads.snapshot = answers("replayed")
    time.sleep(2)
    assert body(lab) == "first"  # what it has is kept, the replay is not asked
    back = primary(lab)
    back.snapshot = answers("second")
    assert until(lambda: body(lab) == "second") < 3
    back.stop()


def test_a_renewed_certificate_is_used_for_the_next_connection(lab: EnvoyLab) -> None:
    """Files are replaced by renaming, in the directory that is watched."""
    chain, key = golden.pair(("another.test",))
    for name, content in (("chain.pem", chain), ("key.pem", key)):
        new = lab.folder / "sds" / f"{name}.new"
        new.write_bytes(content)
        new.rename(lab.folder / "sds" / name)
    server_chain, server_key = golden.pair(("xds.test",))
    # From here on only the renewed certificate is trusted.
    credentials = grpc.ssl_server_credentials([(server_key, server_chain)], chain, require_client_auth=True)
    with inside(lab.netns):
        server = AdsServer("127.0.0.1:15012", credentials)
    server.push(answers("trusted"))
    assert until(lambda: body(lab) == "trusted") < 5
    server.stop()


def test_a_server_with_another_name_is_not_believed(lab: EnvoyLab) -> None:
    chain, key = golden.pair(("evil.test",))
    credentials = grpc.ssl_server_credentials([(key, chain)])
    with inside(lab.netns):
        server = AdsServer("127.0.0.1:15012", credentials)
    server.snapshot = answers("evil")
    lab.push(answers("replayed"))
    assert until(lambda: body(lab) == "replayed") < 5
    assert server.streams == 0
    server.stop()


def test_arguments_are_envoy_s() -> None:
    made = bootstrap.arguments(Path("/x/bootstrap.json"), concurrency=2, drain_seconds=5)
    assert made[:6] == ["--config-path", "/x/bootstrap.json", "--concurrency", "2", "--drain-time-s", "5"]
