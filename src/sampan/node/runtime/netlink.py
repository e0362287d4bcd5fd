"""The few rtnetlink requests a pod's network needs, encoded here: pyroute2's import alone costs 0.1 s at agent start.

Source: rtnetlink(7), linux/if_link.h.
"""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 17, 18, 20, 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
NLMSG_ERROR = 2
IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 3, 4, 10, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
VETH_INFO_PEER, IFLA_BRPORT_ISOLATED = 1, 33
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 4, 253, 0, 1
IFF_UP = 1


class Netlink:
    """A socket to the kernel's network of the namespace it is made in. All methods raise OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def link(self, name: str) -> tuple[int, int]:
        """(index, MTU) of a link."""
        body = self._request(RTM_GETLINK, 0, _link(0) + _attr(IFLA_IFNAME, _text(name)), f"link {name}")
        index: int = struct.unpack_from("=i", body, 4)[0]
        at = 16
        while at + 4 <= len(body):
            length, kind = struct.unpack_from("=HH", body, at)
            if kind == IFLA_MTU:
                return index, int(struct.unpack_from("=I", body, at + 4)[0])
            at += (length + 3) & ~3
        return index, 1500

    def add_veth(self, name: str, peer: str, peer_namespace: int, mtu: int, master: int) -> None:
        """A pair: `name` here under a bridge, `peer` in the namespace behind a descriptor."""
        common = _attr(IFLA_MTU, struct.pack("=I", mtu))
        there = (
            _link(0)
            + _attr(IFLA_IFNAME, _text(peer))
            + common
            + _attr(IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
        )
        info = _attr(IFLA_INFO_KIND, _text("veth")) + _attr(IFLA_INFO_DATA, _attr(VETH_INFO_PEER, there))
        here = _link(0) + _attr(IFLA_IFNAME, _text(name)) + common + _attr(IFLA_MASTER, struct.pack("=I", master))
        self._request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, here + _attr(IFLA_LINKINFO, info), f"add link {name}")

    def isolate(self, index: int) -> None:
        """Bridge ports that are isolated do not talk to each other, only to the bridge itself."""
        data = _attr(IFLA_INFO_SLAVE_DATA, _attr(IFLA_BRPORT_ISOLATED, b"\1"))
        info = _attr(IFLA_INFO_SLAVE_KIND, _text("bridge")) + data
        self._request(RTM_NEWLINK, 0, _link(index) + _attr(IFLA_LINKINFO, info), "isolate a bridge port")

    def up(self, index: int) -> None:
        self._request(RTM_NEWLINK, 0, _link(index, IFF_UP, IFF_UP), "set a link up")

    def delete(self, name: str) -> None:
        """Remove a link (and its peer); silent when it is not there."""
        try:
            self._request(RTM_DELLINK, 0, _link(0) + _attr(IFLA_IFNAME, _text(name)), f"delete link {name}")
        except OSError as error:
            if error.errno != 19:  # ENODEV
                raise

    def add_address(self, index: int, ip: str) -> None:
        """An address without a subnet (/32)."""
        raw = socket.inet_aton(ip)
        body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, index) + _attr(IFA_LOCAL, raw) + _attr(IFA_ADDRESS, raw)
        self._request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"add address {ip}")

    def add_route(self, index: int, to: str = "", gateway: str = "") -> None:
        """To one address on the link, or (without `to`) to everywhere, through a gateway when given."""
        scope = RT_SCOPE_UNIVERSE if gateway else RT_SCOPE_LINK
        body = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, 32 if to else 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0
        )
        body += _attr(RTA_DST, socket.inet_aton(to)) if to else b""
        body += _attr(RTA_GATEWAY, socket.inet_aton(gateway)) if gateway else b""
        body += _attr(RTA_OIF, struct.pack("=i", index))
        self._request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"add route to {to or 'default'}")

    def _request(self, kind: int, flags: int, body: bytes, what: str) -> bytes:
        """The body of the answer; empty for a plain acknowledgement."""
        wanted = 0 if kind == RTM_GETLINK else NLM_F_ACK
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | wanted | flags, 1, 0) + body)
        answer = self._socket.recv(1 << 16)
        length, answer_kind = struct.unpack_from("=IH", answer)
        if answer_kind != NLMSG_ERROR:
            return answer[16:length]
        code = -struct.unpack_from("=i", answer, 16)[0]
        if code:
            raise OSError(code, f"{what}: {os.strerror(code)}")
        return b""


def _link(index: int, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, flags, change)


def _attr(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
