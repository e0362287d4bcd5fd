"""`sampan route METHOD URL`: the way of a request through the gateway, step by step, without making it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import typer

from sampan.api.meta import Obj
from sampan.app.config import Cluster, load_or_fail, state_root
from sampan.base.errors import UserError
from sampan.cli.doors import Door, doors, leading
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.cli.proxies import KIND, Output, check_output, dump, page
from sampan.cli.remote import Remote

STAGES = 9
PORTS = {"http": 80, "https": 443}


def route(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, …")],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="As a client writes it: https://shop.example.com/cart?id=7")
    ],
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="NAME: VALUE; may come again.")] = None,
    gateway: Annotated[str, typer.Option("--gateway", help="Ask this Gateway (NS/NAME), not whichever answers.")] = "",
    client: Annotated[str, typer.Option("--client", help="The client's address \\[default: this machine's].")] = "",
    sni: Annotated[
        str, typer.Option("--sni", help="Server name of the TLS handshake \\[default: the URL's host].")
    ] = "",
    certificate: Annotated[bool, typer.Option("--client-certificate", help="The client shows a trusted one.")] = False,
    body: Annotated[int, typer.Option("--body", help="Length of the request's body in bytes.")] = 0,
    output: Output = "",
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> int:
    """Say which listener, route, object and endpoint would answer, or where it ends and why. Asked of the very
    configuration the proxies have; nothing is sent. Exit status 1 when the gateway itself answers with an error.
    """
    check_output(output)
    found = load_or_fail(cluster, state_root(state))
    parts = _parsed(url)
    query = _query(method, parts, header or [])
    query |= {"client": client or found.plan.host_ip, "body": str(body or "")}
    query["kind"] = KIND
    query["sni"] = sni or query["sni"]
    query["certificate"] = "true" if certificate else ""
    walk = asyncio.run(_ask(found, parts, gateway, query))
    if output:
        dump(walk, output)
    else:
        for line in shown(walk):
            print(line if not sys.stdout.isatty() else _colored(line))
    return 1 if walk["refused"] else 0


def _parsed(url: str) -> SplitResult:
    """Without a scheme it is http, as with curl. Raises UserError."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        fine = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise UserError(f'"{url}" is not a URL', "sampan route GET http://shop.example.com/cart")
    return parts


def _query(method: str, parts: SplitResult, headers: list[str]) -> dict[str, Any]:
    """A Host header goes before the URL's host, as with curl."""
    named = [(text, text.partition(":")[2].strip()) for text in headers if text.lower().startswith("host:")]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return {
        "method": method.upper(),
        "host": named[-1][1] if named else parts.netloc.rpartition("@")[2],
        "sni": parts.hostname,
        "path": target,
        "tls": "true" if parts.scheme == "https" else "",
        "header": [text for text in headers if not text.lower().startswith("host:")],
    }


async def _ask(cluster: Cluster, parts: SplitResult, gateway: str, query: dict[str, Any]) -> Obj:
    """The walk through the door that the URL means; of several the first one at which somebody is at home."""
    async with Remote(cluster) as remote:
        services = (await remote.get("/api/v1/services"))["items"]
        possible = leading(doors(services), parts.hostname or "", parts.port or PORTS[parts.scheme], gateway)
        walks = [(door, await page(remote, "route", **{**query, "port": str(door.inner)})) for door in possible]
    home = [(door, walk) for door, walk in walks if not _nobody(walk)]
    door, walk = (home or walks)[0]
    others = [str(other) for other, _ in home[1:]]
    return {"gateway": door.shown(), **({"others": others} if others else {}), **walk}


def _nobody(walk: Obj) -> bool:
    """No listener, no chain, no host, no route."""
    failed = [step["stage"] for step in _last(walk) if not step["ok"]]
    return bool(failed) and failed[0] in ("listener", "chain", "host", "route")


def _last(walk: Obj) -> list[Obj]:
    ends = walk["ends"]
    return [*walk["steps"], *(ends[0]["steps"] if len(ends) == 1 else [])]


def shown(walk: Obj) -> Iterator[str]:
    door = Door(**walk["gateway"])
    yield f"✔ {'gateway':<{STAGES}} {door}"
    about = ""
    for step in walk["steps"]:
        yield from _step(step, about)
        about = _origin(step) or about
    ends = walk["ends"]
    for end in ends:
        if len(ends) > 1:
            yield f"— {end['share'] * 100:.3g}% of such requests:"
        before = about
        for step in end["steps"]:
            yield from _step(step, before)
            before = _origin(step) or before
        yield from _step(_end(end), before)
    if walk.get("others"):
        yield f"  {'':<{STAGES}} ({', '.join(walk['others'])} would take it too: --gateway)"


def _step(step: Obj, about: str) -> Iterator[str]:
    """The object behind it is named when it is another than the last one."""
    first, *rest = step["text"].splitlines() or [""]
    origin = _origin(step)
    yield f"{'✔' if step['ok'] else '×'} {step['stage']:<{STAGES}} {first}"
    for line in [*rest, *([f"by {origin}"] if origin and origin != about else [])]:
        yield f"  {'':<{STAGES}} {line}"


def _origin(step: Obj) -> str:
    origin = step.get("origin")
    if not origin:
        return ""
    place = "/".join(filter(None, (origin.get("namespace"), origin["name"])))
    return f"{origin['resource'].split('.')[0]} {place} {origin.get('field', '')}".rstrip()


def _end(end: Obj) -> Obj:
    status, maybe = end["status"], ", ".join(end.get("asks") or ())
    if status == -1:
        text = "none: the connection is closed"
    elif status:
        text = f"{status} by the gateway" + (f", to {end['location']}" if end.get("location") else "")
    else:
        text = "the upstream's" + (f" (unless {maybe} says otherwise)" if maybe else "")
    return {"stage": "answer", "ok": status == 0 or 0 < status < 400, "text": text}


def _colored(line: str) -> str:
    color = {"✔": "32", "×": "31"}.get(line[:1])
    return f"\x1b[{color}m{line[0]}\x1b[0m{line[1:]}" if color else line
