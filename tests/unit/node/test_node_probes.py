"""Probes: thresholds and timers in virtual time, actions against small servers on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.base.clock import FakeClock
from sampan.base.tasks import Tasks
from sampan.node import grpc_health
from sampan.node.probe_actions import Outcome, Target, act, port_number
from sampan.node.probes import Probe, Prober, Report, Tally


async def no_exec(argv: tuple[str, ...]) -> tuple[int, str]:
    return (0, "") if argv == ("true",) else (3, "not well")


def target(port: int = 0) -> Target:
    return Target({"name": "app", "ports": [{"name": "http", "containerPort": port}]}, "127.0.0.1", no_exec)


def test_thresholds() -> None:
    tally = Tally(successes=2, failures=3)
    assert [tally.add(ok) for ok in (True, True, True)] == [False, True, False]
    assert [tally.add(ok) for ok in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert tally.verdict is False


def run_probe(kind: str, spec: dict[str, Any], healthy_from: float, seconds: float) -> list[tuple[float, Any, str]]:
    """Run an exec probe whose program is well from `healthy_from` on; [(time, verdict, failure)]."""

    async def main() -> list[tuple[float, Any, str]]:
        clock, tasks, seen = FakeClock(), Tasks("test"), []

        async def program(argv: tuple[str, ...]) -> tuple[int, str]:
            return (0, "") if clock.monotonic() >= healthy_from else (1, "sick")

        def report(found: Report) -> None:
            seen.append((clock.monotonic(), found.verdict, found.failure))

        prober = Prober(tasks, clock, report)
        known = True if kind == "liveness" else None
        on = Target({"name": "app"}, "127.0.0.1", program)
        action = {"exec": {"command": ["x"]}} | spec
        prober.sync([Probe(kind, "app", 0, clock.now().timestamp(), action, on, known)])
        await clock.advance(seconds)
        prober.sync([])
        await tasks.stop()
        return seen

    return asyncio.run(main())


def test_a_program_that_is_up_soon_is_ready_soon_without_complaints() -> None:
    (moment, verdict, failure) = run_probe("readiness", {"periodSeconds": 10}, healthy_from=0.3, seconds=60)[0]
    assert (verdict, failure) == (True, "")
    assert moment < 0.5


def test_readiness_waits_for_its_initial_delay() -> None:
    assert run_probe("readiness", {"initialDelaySeconds": 5}, healthy_from=0, seconds=60) == [(5.0, True, "")]


def test_liveness_fails_after_its_threshold_and_then_is_silent() -> None:
    seen = run_probe("liveness", {"periodSeconds": 2, "failureThreshold": 3}, healthy_from=1e9, seconds=60)
    assert seen == [(0.0, None, "sick"), (2.0, None, "sick"), (4.0, False, "sick")]


def test_startup_fails_for_good_after_its_threshold() -> None:
    seen = run_probe("startup", {"periodSeconds": 1, "failureThreshold": 2}, healthy_from=1e9, seconds=60)
    assert [verdict for _, verdict, _ in seen] == [None, False]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Outcome(True)),
        (b"HTTP/1.1 399 Fine\r\n\r\n", Outcome(True)),
        (b"HTTP/1.1 503 No\r\n\r\n", Outcome(False, "HTTP probe failed with statuscode: 503")),
        (b"HTTP/1.1 302 Go\r\nLocation: http://other.example/\r\n\r\n", Outcome(True, "Probe terminated redirects")),
    ],
)
def test_http(answer: bytes, outcome: Outcome) -> None:
    async def main() -> tuple[Outcome, bytes]:
        asked = b""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        headers = [{"name": "X-Who", "value": "me"}]
        found = await act({"httpGet": {"port": "http", "path": "/a?b", "httpHeaders": headers}}, target(port), 5)
        server.close()
        return found, asked

    found, asked = asyncio.run(main())
    assert found == outcome
    assert asked.startswith(b"GET /a?b HTTP/1.1\r\n")
    assert b"X-Who: me\r\n" in asked
    assert b"User-Agent: kube-probe/" in asked


def test_refused_and_slow_connections() -> None:
    async def main() -> list[Outcome]:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        slow = await act({"httpGet": {"port": port}}, target(), 0.05)
        tcp = await act({"tcpSocket": {"port": port}}, target(), 1)
        server.close()
        refused = await act({"tcpSocket": {"port": port}}, target(), 1)
        return [slow, tcp, refused, await act({"httpGet": {"port": port}}, target(), 1)]

    slow, tcp, refused, http = asyncio.run(main())
    assert "context deadline exceeded" in slow.message
    assert tcp == Outcome(True)
    assert refused.message.endswith("connect: connection refused")
    assert http.message.startswith('Get "http://127.0.0.1:')


def test_exec_and_unknown_ports() -> None:
    assert asyncio.run(act({"exec": {"command": ["true"]}}, target(), 1)).ok
    assert asyncio.run(act({"exec": {"command": ["false"]}}, target(), 1)) == Outcome(False, "not well")
    assert "couldn't find port" in asyncio.run(act({"tcpSocket": {"port": "nope"}}, target(), 1)).message
    assert port_number({}, "80") == 80


def grpc_answer(status: int | None) -> bytes:
    body = b"" if status is None else b"\0" + (2).to_bytes(4, "big") + bytes([8, status])
    frames = grpc_health.frame(grpc_health.SETTINGS, 0, 0, b"")
    frames += grpc_health.frame(grpc_health.PING, 0, 0, b"12345678")
    if status is not None:
        frames += grpc_health.frame(grpc_health.HEADERS, grpc_health.END_HEADERS, 1, b"\x88")
        frames += grpc_health.frame(grpc_health.DATA, 0, 1, body)
    return frames + grpc_health.frame(grpc_health.HEADERS, grpc_health.END_STREAM | 4, 1, b"\x88")


@pytest.mark.parametrize(
    ("status", "message"),
    [(1, ""), (2, 'service unhealthy (responded with "NOT_SERVING")'), (None, "does not implement the grpc health")],
)
def test_grpc(status: int | None, message: str) -> None:
    async def main() -> Outcome:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readexactly(len(grpc_health.PREFACE)) == grpc_health.PREFACE
            writer.write(grpc_answer(status))
            await writer.drain()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await act({"grpc": {"port": port, "service": "web"}}, target(), 5)
        server.close()
        return found

    found = asyncio.run(main())
    assert found.ok == (status == 1)
    assert message in found.message
