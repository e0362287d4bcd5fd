"""Forgets UDP flows that point to where the rules no longer send.

UDP has no end of a connection: a client that keeps its socket keeps its conntrack entry alive, and with it the old
translation. TCP entries stay: a terminating pod finishes what it has begun. Raw ctnetlink, as the `conntrack` tool
may be absent; layout from linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sampan.serviceproxy.model import Frontend, Ruleset, ServiceRules

# A UDP frontend whose rules changed → the (ip, port) pairs it may still lead to.
Flows = Mapping[Frontend, frozenset[tuple[str, int]]]

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 0x101, 0x102
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST = 1, 2
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS, PROTO_NUM_FLAG = 1, 2, 8
NESTED, TYPE_MASK = 0x8000, 0x3FFF
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
FAMILY = struct.pack("=BBH", socket.AF_INET, 0, 0)  # nfgenmsg


class Flow(NamedTuple):
    """One entry: where the client sent to, who answers, and the raw original tuple that names it to the kernel."""

    to: tuple[str, int]
    answers: tuple[str, int]
    tuple: bytes


def changed_flows(before: Ruleset, after: Ruleset) -> Flows:
    """The UDP frontends whose set of targets changed between two rulesets, with the targets they have now."""
    result: dict[Frontend, frozenset[tuple[str, int]]] = {}
    for key in before.services.keys() | after.services.keys():
        old, new = before.services.get(key), after.services.get(key)
        if old is new:
            continue
        was, now = _udp(old), _udp(new)
        for frontend in was.keys() | now.keys():
            if was.get(frontend) != now.get(frontend):
                result[frontend] = now.get(frontend, frozenset())
    return result


def stale(flow: Flow, flows: Flows) -> bool:
    """Does the entry belong to one of the frontends, but lead to none of its targets?"""
    ip, port = flow.to
    targets = flows.get(Frontend(ip, "udp", port))
    if targets is None:
        targets = flows.get(Frontend("", "udp", port))
    return targets is not None and flow.answers not in targets


async def forget(flows: Flows) -> None:
    """Delete all stale entries of this process's network namespace. Raises OSError."""
    await asyncio.to_thread(forget_now, flows)


def forget_now(flows: Flows) -> int:
    """The same, blocking; how many were deleted."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as channel:
        channel.bind((0, 0))
        gone = [flow for flow in _dump(channel) if stale(flow, flows)]
        for flow in gone:
            _delete(channel, flow)
    return len(gone)


def _udp(rules: ServiceRules | None) -> dict[Frontend, frozenset[tuple[str, int]]]:
    if rules is None:
        return {}
    return {
        frontend: frozenset((target.ip, target.port) for target in rules.chains[name].targets)
        for frontend, name in rules.frontends.items()
        if frontend.protocol == "udp"
    }


# ── ctnetlink ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _dump(channel: socket.socket) -> Iterator[Flow]:
    """UDP entries; the kernel does the filtering."""
    number = _attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    udp = _attribute(CTA_TUPLE_ORIG | NESTED, _attribute(CTA_TUPLE_PROTO | NESTED, number))
    flags = _attribute(CTA_FILTER_ORIG_FLAGS, struct.pack("=I", PROTO_NUM_FLAG))
    flags += _attribute(CTA_FILTER_REPLY_FLAGS, struct.pack("=I", 0))
    _send(channel, IPCTNL_MSG_CT_GET, NLM_F_DUMP, udp + _attribute(CTA_FILTER | NESTED, flags))
    while True:
        for kind, body in _messages(channel.recv(1 << 18)):
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                _raise(body, "list conntrack entries")
            attributes = _parse(body[len(FAMILY) :])
            original = attributes[CTA_TUPLE_ORIG]
            protocol, _, to = _tuple(original)
            if protocol == socket.IPPROTO_UDP:
                yield Flow(to, _tuple(attributes[CTA_TUPLE_REPLY])[1], original)


def _delete(channel: socket.socket, flow: Flow) -> None:
    _send(channel, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, _attribute(CTA_TUPLE_ORIG | NESTED, flow.tuple))
    for _, body in _messages(channel.recv(1 << 16)):
        _raise(body, "delete a conntrack entry")


def _send(channel: socket.socket, kind: int, flags: int, attributes: bytes) -> None:
    body = FAMILY + attributes
    channel.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _raise(body: bytes, what: str) -> None:
    """Raise what an error message says; an entry that is gone already is as good as deleted."""
    code = -struct.unpack_from("=i", body)[0]
    if code not in (0, errno.ENOENT):
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _parse(data: bytes) -> dict[int, bytes]:
    result: dict[int, bytes] = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        result[kind & TYPE_MASK] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return result


def _tuple(data: bytes) -> tuple[int, tuple[str, int], tuple[str, int]]:
    """(protocol, source, destination)."""
    parts = _parse(data)
    ips, ports = _parse(parts[CTA_TUPLE_IP]), _parse(parts[CTA_TUPLE_PROTO])
    return (
        ports[CTA_PROTO_NUM][0],
        (socket.inet_ntoa(ips[CTA_IP_V4_SRC]), _port(ports.get(CTA_PROTO_SRC_PORT))),
        (socket.inet_ntoa(ips[CTA_IP_V4_DST]), _port(ports.get(CTA_PROTO_DST_PORT))),
    )


def _port(value: bytes | None) -> int:
    return int.from_bytes(value, "big") if value else 0
