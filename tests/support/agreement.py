"""Does the simulator say what the real Envoy does? Everything that can be seen from outside is compared."""

from __future__ import annotations

import http.client
import random
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from envoylab import Answer, EnvoyLab

from sampan.xds import types
from sampan.xds.messages import Message
from sampan.xds.simulate import End, Request, Walk, simulate
from sampan.xds.simulate.messages import parsed, unpacked
from sampan.xds.types import Snapshot

# Paths at which the lab's upstream says something else than what it saw.
_SPECIAL = ("/status/", "/auth", "/page")
# So often is asked until chance has shown every end that is not rarer than this.
_TRIES, _RARE = 80, 0.1


def disagreements(lab: EnvoyLab, snapshot: Snapshot, request: Request) -> dict[str, Any]:
    """What is different at the end that is nearest; {} when they agree. All ends of a weighted route are seen."""
    walk = simulate(snapshot, request)
    if _elsewhere(snapshot, walk, request):
        return {}
    if not request.tls and any(not end.status and not end.path for end in walk.ends):
        request = replace(request, path="/stream")
        walk = Walk(walk.steps, tuple(replace(end, path="/stream", host=request.host) for end in walk.ends))
    wanted = {number for number, end in enumerate(walk.ends) if end.share >= _RARE}
    for _ in range(_TRIES):
        answer = ask(lab, request)
        found = [differences(end, answer, request) for end in walk.ends]
        if all(found):
            return {"answer": answer, **min(found, key=len)}
        wanted -= {number for number, one in enumerate(found) if not one}
        if not wanted:
            return {}
    return {"never": [walk.ends[number].cluster for number in sorted(wanted)]}


def ask(lab: EnvoyLab, request: Request) -> Answer | None:
    """None: the connection was closed."""
    url = f"{request.scheme}://127.0.0.1:{request.port}{request.path}"
    sni = request.sni if request.sni is not None else request.host.partition(":")[0]
    headers = {"host": request.host} | dict(request.headers)
    try:
        return lab.request(url, request.method, headers, b"x" * request.body or None, sni=sni)
    except (ssl.SSLError, http.client.HTTPException, OSError):
        return None


def differences(end: End, answer: Answer | None, request: Request) -> dict[str, Any]:
    if answer is None or end.status == -1:
        return {} if answer is None and end.status == -1 else {"closed": answer is None}
    if end.asks and answer.status in (302, 401, 403, 429, 503):
        return {}
    if end.status:
        return _own(end, answer, request)
    if request.method == "HEAD" or end.path.startswith(_SPECIAL):
        return {}
    if "ip" not in answer.body:
        return {"not from an upstream": answer.status}
    return _upstream(end, answer.seen)


def _own(end: End, answer: Answer, request: Request) -> dict[str, Any]:
    """The proxy's own answer."""
    made = {"status": answer.status} if answer.status != end.status else {}
    if end.location != answer.headers.get("location", ""):
        made["location"] = answer.headers.get("location")
    if request.method != "HEAD" and end.body != answer.body:
        made["body"] = answer.body
    made.update({k: answer.headers.get(k) for k, v in end.answer_headers if answer.headers.get(k) != v})
    return made


def _upstream(end: End, seen: dict[str, Any]) -> dict[str, Any]:
    """Python's server strips what is more than one slash in front of a path."""
    wanted = {"path": "/" + end.path.lstrip("/"), "host": end.host}
    ips = {member.address.rpartition(":")[0] for member in end.members if member.state == "healthy"}
    made = {"cluster": seen["ip"]} if seen["ip"] not in ips else {}
    made.update({key: seen[key] for key in wanted if seen[key] != wanted[key]})
    for name, value in end.headers:
        if "%" not in (value or "") and _plain(seen["headers"].get(name)) != _plain(value):
            made[name] = seen["headers"].get(name)
    return made


def _plain(value: str | None) -> list[str] | None:
    return None if value is None else [one.strip() for one in value.split(",")]


def _elsewhere(snapshot: Snapshot, walk: Walk, request: Request) -> bool:
    """The lab has no names, and its upstream speaks neither TLS nor HTTP/2."""
    clusters = [snapshot.of(types.CLUSTER).get(end.cluster) for end in walk.ends if not end.status]
    made = [parsed(types.CLUSTER, one.body) for one in clusters if one]
    streams = any(end.cluster and not end.path for end in walk.ends)
    return (streams and request.tls) or any(
        one.type != one.EDS or one.HasField("transport_socket") or one.typed_extension_protocol_options for one in made
    )


# -- requests that a configuration makes interesting


@dataclass(frozen=True)
class Door:
    port: int
    tls: bool
    names: tuple[str, ...]
    table: str


def questions(snapshot: Snapshot, chance: random.Random, count: int) -> Iterator[Request]:
    """Hosts, paths, methods, headers and query parameters of its routes, and some that are nearly so."""
    doors = [door for door in _doors(snapshot) if door.table]
    for _ in range(count if doors else 0):
        door = chance.choice(doors)
        table = parsed(types.ROUTES, snapshot.of(types.ROUTES)[door.table].body)
        if not table.virtual_hosts:
            continue
        host = chance.choice(table.virtual_hosts)
        domain = chance.choice(host.domains).replace("*", chance.choice(["x", "a.b", "www"]))
        route = chance.choice(host.routes) if host.routes else None
        headers = dict(_headers(route, chance)) if route else {}
        yield Request(
            _method(route, chance),
            chance.choice([domain] * 6 + [domain.upper(), f"{domain}:{door.port}", f"{domain}:80", "nobody.test"]),
            (_path(route, chance) if route else "/") + _query(route, chance),
            door.port,
            door.tls,
            _sni(door, chance),
            headers=tuple(headers.items()),
        )


def _sni(door: Door, chance: random.Random) -> str | None:
    """None: what a client says by itself, the host's name."""
    return chance.choice(door.names).replace("*", "w") if door.names and chance.random() < 0.3 else None


def _doors(snapshot: Snapshot) -> Iterator[Door]:
    for resource in snapshot.of(types.LISTENER).values():
        listener = parsed(types.LISTENER, resource.body)
        if any(one.name.endswith("proxy_protocol") for one in listener.listener_filters):
            continue
        chains = [*listener.filter_chains]
        if listener.HasField("default_filter_chain"):
            chains.append(listener.default_filter_chain)
        for chain in chains:
            manager = unpacked(chain.filters[-1].typed_config)
            name = manager.rds.route_config_name if hasattr(manager, "rds") else ""
            names = tuple(one for other in chains for one in other.filter_chain_match.server_names)
            tls = chain.HasField("transport_socket")
            port = listener.address.socket_address.port_value
            yield Door(port, tls, names, name if name in snapshot.of(types.ROUTES) else "")


def _method(route: Message, chance: random.Random) -> str:
    wanted = [one.string_match.exact for one in route.match.headers if one.name == ":method"] if route else []
    return chance.choice([*wanted * 4, "GET", "GET", "GET", "POST", "HEAD", "OPTIONS"])


def _path(route: Message, chance: random.Random) -> str:
    kind = route.match.WhichOneof("path_specifier")
    text = route.match.safe_regex.regex if kind == "safe_regex" else getattr(route.match, kind)
    if kind == "safe_regex":
        text = re.sub(r"\(\?i:|\[[^]]*\]|\\.|[()|$*^?+{}]", lambda found: chance.choice(["", "", "7", "x"]), text)
    text = re.sub(r"[^!-~]", "", "/" + text.lstrip("/"))
    tail = chance.choice(
        ["", "", "", "/", "/a", "/a/b/", "x", "//y", "/../z", "/%41", "/a%2fb", ".", "/;p=1", "%20", "/a%7e"]
    )
    return chance.choice([text, text, text, text.upper(), text.rstrip("/") or "/"]) + tail


def _query(route: Message, chance: random.Random) -> str:
    pairs = [(one.name, one.string_match.exact or "v") for one in route.match.query_parameters] if route else []
    chosen = [f"{k}={chance.choice([v, v, v, 'other'])}" for k, v in pairs if chance.random() < 0.8]
    chosen += chance.choice([[], [], ["q=1"], ["a=/../b%20c"]])
    return "?" + "&".join(chosen) if chosen else ""


def _headers(route: Message, chance: random.Random) -> Iterator[tuple[str, str]]:
    for one in route.match.headers:
        if one.name.startswith(":") or chance.random() < 0.25:
            continue
        if one.name == "cookie":
            name = re.search(r"\)\?(.*?)=", one.string_match.safe_regex.regex)
            yield "cookie", f"a=b; {name[1] if name else 'x'}={chance.choice(['always', 'never', 'v'])}"
        else:
            value = one.string_match.exact or one.string_match.prefix or one.string_match.suffix
            yield one.name, chance.choice([value or "7", value or "7", "always", "other"])
    if chance.random() < 0.1:
        yield "origin", chance.choice(["https://ok.example.com", "https://other.test"])
