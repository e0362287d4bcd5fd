"""What probes and lifecycle hooks do: exec, httpGet, tcpSocket, grpc, sleep.

Source: https://kubernetes.io/docs/concepts/workloads/pods/probes/
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from sampan.api.meta import Obj
from sampan.base.errors import SampanError
from sampan.node import grpc_health

USER_AGENT = "kube-probe/1.32"
MAX_OUTPUT = 10 << 10  # bytes of an answer that are looked at
Exec = Callable[[tuple[str, ...]], Awaitable[tuple[int, str]]]


class Outcome(NamedTuple):
    """`message` says why it failed."""

    ok: bool
    message: str = ""


@dataclass(frozen=True)
class Target:
    """The container that is asked. `exec` runs a command in it: (exit code, output)."""

    container: Obj
    ip: str
    exec: Exec


async def act(action: Obj, target: Target, timeout: float) -> Outcome:
    """Carry out a probe's or hook's action within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            if "exec" in action:
                return await _exec(action["exec"], target)
            if "httpGet" in action:
                return await _http(action["httpGet"], target)
            if "tcpSocket" in action:
                return await _tcp(action["tcpSocket"], target)
            if "grpc" in action:
                return await _grpc(action["grpc"], target)
            if "sleep" in action:
                await asyncio.sleep(action["sleep"]["seconds"])
                return Outcome(True)
    except TimeoutError:
        return Outcome(False, _too_late(action, target, timeout))
    except (SampanError, OSError) as error:
        return Outcome(False, str(error))
    return Outcome(False, "missing probe handler")


def port_number(container: Obj, port: int | str) -> int:
    """A port given by number or by the name it has in the container's ports. Raises SampanError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for entry in container.get("ports") or ():
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise SampanError(f"couldn't find port: {port} in the container's ports")


async def _exec(action: Obj, target: Target) -> Outcome:
    code, output = await target.exec(tuple(action.get("command") or ()))
    return Outcome(code == 0, output[:MAX_OUTPUT])


async def _tcp(action: Obj, target: Target) -> Outcome:
    host, port = action.get("host") or target.ip, port_number(target.container, action["port"])
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Outcome(False, _dial(host, port, error))
    writer.close()
    return Outcome(True)


async def _grpc(action: Obj, target: Target) -> Outcome:
    port = int(action["port"])
    try:
        status = await grpc_health.check(target.ip, port, action.get("service") or "")
    except OSError as error:
        return Outcome(
            False, f'timeout: failed to connect service "{target.ip}:{port}": {_dial(target.ip, port, error)}'
        )
    if status == "SERVING":
        return Outcome(True)
    return Outcome(False, f'service unhealthy (responded with "{status}")')


async def _http(action: Obj, target: Target) -> Outcome:
    url = http_url(action, target)
    headers = {h["name"]: h["value"] for h in action.get("httpHeaders") or ()}
    first = urlsplit(url)
    for _ in range(10):
        place = urlsplit(url)
        try:
            status, location = await _get(url, headers)
        except OSError as error:
            return Outcome(False, f'Get "{url}": {_dial(place.hostname or "", place.port or 0, error)}')
        except (EOFError, ValueError):
            return Outcome(False, f'Get "{url}": EOF')
        if not (status in (301, 302, 303, 307, 308) and location):
            break
        url = urljoin(url, location)
        if urlsplit(url).hostname != first.hostname:
            return Outcome(True, "Probe terminated redirects")  # another host's health is not this container's
    else:
        return Outcome(False, f'Get "{url}": stopped after 10 redirects')
    if 200 <= status < 400:
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {status}")


def http_url(action: Obj, target: Target) -> str:
    scheme = str(action.get("scheme") or "HTTP").lower()
    host = action.get("host") or target.ip
    path = action.get("path") or "/"
    return (
        f"{scheme}://{host}:{port_number(target.container, action['port'])}{'' if path.startswith('/') else '/'}{path}"
    )


async def _get(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and Location of a GET. Raises OSError, EOFError, ValueError (not HTTP)."""
    place = urlsplit(url)
    context = ssl._create_unverified_context() if place.scheme == "https" else None
    port = place.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(place.hostname, port, ssl=context, limit=MAX_OUTPUT * 4)
    try:
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        lines = {"Host": place.netloc, "User-Agent": USER_AGENT, "Accept": "*/*"} | headers | {"Connection": "close"}
        head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        writer.write(f"{head}\r\n".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        location = next((line[9:].strip() for line in answer[1:] if line.lower().startswith("location:")), "")
        return int(answer[0].split(" ", 2)[1]), location
    except (asyncio.LimitOverrunError, IndexError):
        raise ValueError("not an HTTP answer") from None
    finally:
        writer.close()


def _dial(host: str, port: int, error: OSError) -> str:
    text = (error.strerror or str(error)).lower()
    if "connect call failed" in text and error.errno:
        text = "connection refused" if error.errno == 111 else text
    return f"dial tcp {host}:{port}: connect: {text}"


def _too_late(action: Obj, target: Target, timeout: float) -> str:
    if "exec" in action:
        command = " ".join(action["exec"].get("command") or ())
        return f'command timed out: "{command}" timed out after {timeout:g}s'
    if "httpGet" in action:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return f'Get "{http_url(action["httpGet"], target)}": {why}'
    if "tcpSocket" in action:
        host = action["tcpSocket"].get("host") or target.ip
        return f"dial tcp {host}:{port_number(target.container, action['tcpSocket']['port'])}: i/o timeout"
    return f"timeout: health rpc did not complete within {timeout:g}s"
