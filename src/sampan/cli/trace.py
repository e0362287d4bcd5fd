"""`sampan trace FROM-POD HOST:PORT`: the path of a request, step by step, or where it ends and why."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Annotated

import typer

from sampan.api.meta import Key, Obj
from sampan.app.config import DOMAIN, Cluster, load_or_fail, state_root
from sampan.app.facts import host_ips, node_facts
from sampan.app.supervisor import running
from sampan.base.errors import UserError
from sampan.base.netns import inside
from sampan.cli import records as containers
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.serviceproxy.lbroutes import routes_of
from sampan.serviceproxy.trace import Step, TraceRequest, World
from sampan.serviceproxy.trace import trace as trace_request

HOST = "host"
STAGES = 9


def trace(
    source: Annotated[str, typer.Argument(metavar="FROM-POD", help="POD, NAMESPACE/POD, or `host` for this machine.")],
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Name or IPv4 address, and port.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the pod.")] = "default",
    udp: Annotated[bool, typer.Option("--udp", help="Trace UDP instead of TCP.")] = False,
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> int:
    """Say why a request goes where it goes: DNS answer, rule, endpoint, pod, process. Status 1 when it ends early."""
    found = load_or_fail(cluster, state_root(state))
    if not running(found):
        raise UserError(f'cluster "{cluster}" is down', f"sampan up -d --cluster {cluster}")
    match = re.fullmatch(r"(?:\w+://)?([^:/]+):(\d+)(/.*)?", target)
    if not match or not 0 < int(match[2]) < 65536:
        raise UserError(f'"{target}" is not HOST:PORT', "sampan trace my-pod my-service:80")
    request = TraceRequest(_key(source, namespace), match[1], int(match[2]), "udp" if udp else "tcp")
    steps = trace_request(request, asyncio.run(_world(found)))
    for step in steps:
        _show(step)
    return 0 if steps[-1].ok else 1


def _key(source: str, namespace: str) -> Key | None:
    if source == HOST:
        return None
    given, _, name = source.rpartition("/")
    return Key(given or namespace, name)


def _show(step: Step) -> None:
    mark, color = ("✔", "32") if step.ok else ("×", "31")
    mark = f"\x1b[{color}m{mark}\x1b[0m" if sys.stdout.isatty() else mark
    first, *rest = step.text.splitlines() or [""]
    print(f"{mark} {step.stage:<{STAGES}} {first}")
    for line in rest:
        print(f"  {'':<{STAGES}} {line}")


async def _world(cluster: Cluster) -> World:
    from sampan.app.api import admin_client

    client = admin_client(cluster)
    try:
        wanted = ("services", "endpointslices.discovery.k8s.io", "pods")
        services, slices, pods = [(await client.list(resource)).items for resource in wanted]
    finally:
        await client.close()
    by_key = {Key(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in pods}

    def resolve(source: Key | None, name: str) -> tuple[str, ...]:
        pod = by_key.get(source) if source else None
        return _resolve_in_pod(cluster, pod, name) if pod else _resolve_on_host(name)

    return World(
        services=services,
        slices=slices,
        pods=pods,
        nodes={node: node_facts(cluster, node) for node in cluster.plan.nodes},
        resolve=resolve,
        command=lambda pod: _command(cluster, pod),
        lan_ip=cluster.plan.host_ip,
        host_ips=host_ips(),
        lb_routes=await routes_of(cluster.plan.host_link),
    )


def _resolve_in_pod(cluster: Cluster, pod: Obj, name: str) -> tuple[str, ...]:
    """Ask the DNS server of the pod's node what the pod's resolver would ask it (search list, ndots: 5)."""
    import dns.exception
    import dns.message
    import dns.query
    import dns.rdatatype

    node = pod["spec"]["nodeName"]
    search = [f"{pod['metadata']['namespace']}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN]
    expanded = [f"{name}.{suffix}" for suffix in search]
    candidates = [name] if name.endswith(".") else [name, *expanded] if name.count(".") >= 5 else [*expanded, name]
    for candidate in candidates:
        try:
            with inside(cluster.plan.node_netns(node)):
                answer = dns.query.udp(
                    dns.message.make_query(candidate, "A"), cluster.plan.node_ip(node), timeout=3, ignore_errors=True
                )
        except (dns.exception.DNSException, OSError):
            return ()
        found = tuple(rdata.to_text() for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for rdata in rrset)
        if found:
            return found
    return ()


def _resolve_on_host(name: str) -> tuple[str, ...]:
    import socket

    try:
        return tuple(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET)))
    except OSError:
        return ()


def _command(cluster: Cluster, pod: Obj) -> str:
    """What runs in the pod: pid and command line of its first running container, as the node's records have them."""
    for pid, words in containers.running(cluster, pod):
        return f"{b' '.join(words).decode(errors='replace').strip()} (pid {pid})"
    return ""
