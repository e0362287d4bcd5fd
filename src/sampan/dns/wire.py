"""Messages to queries and answers to messages; dnspython does the encoding.

Source: RFC 1035, RFC 6891 (EDNS0). The module is imported at the first query, not at start-up.
"""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from sampan.dns.types import Answer, Query, Rr

EDNS_SIZE = 1232


def decode(data: bytes, tcp: bool) -> tuple[dns.message.Message, Query] | None:
    """The parsed message and its question; None for what deserves no answer (not a query, unreadable)."""
    try:
        message = dns.message.from_wire(data)
    except (dns.exception.DNSException, ValueError):
        return None
    if message.flags & dns.flags.QR or len(message.question) != 1:
        return None
    question = message.question[0]
    labels = tuple(label.decode("latin-1").lower() for label in question.name.labels if label)
    return message, Query(labels, dns.rdatatype.to_text(question.rdtype), data, tcp)


def encode(message: dns.message.Message, query: Query, answer: Answer) -> list[bytes]:
    """The wire forms of an answer: one a rotation of its address records, so that clients spread over them."""
    if answer.wire:
        return [_fit(answer.wire, message, query)]
    rotations = len(answer.records) if len(answer.records) > 1 and answer.records[0].type == "A" else 1
    return [_encode(message, query, answer, turn) for turn in range(min(rotations, 16))]


def _encode(message: dns.message.Message, query: Query, answer: Answer, turn: int) -> bytes:
    response = dns.message.make_response(message, recursion_available=True, our_payload=EDNS_SIZE)
    response.flags |= dns.flags.AA
    response.set_rcode(dns.rcode.Rcode(answer.rcode))
    if message.opcode() != dns.opcode.QUERY:
        response.set_rcode(dns.rcode.NOTIMP)
        return response.to_wire()
    records = answer.records[turn:] + answer.records[:turn]
    for section, rrs in ((response.answer, records), (response.authority, answer.authority)):
        for rr in rrs:
            # The question's own spelling is echoed: resolvers that mix upper and lower case check it.
            name = message.question[0].name if rr.name == query.name else dns.name.Name((*_bytes(rr.name), b""))
            section.append(dns.rrset.from_text(name, rr.ttl, dns.rdataclass.IN, rr.type, rr.data))
    return _fit(response.to_wire(max_size=65535), message, query)


def _fit(wire: bytes, message: dns.message.Message, query: Query) -> bytes:
    """Cut an answer that does not fit into the client's datagram to its question, marked truncated."""
    limit = 65535 if query.tcp else max(512, message.payload if message.edns >= 0 else 512)
    if len(wire) <= limit:
        return wire
    short = dns.message.make_response(message, recursion_available=True, our_payload=EDNS_SIZE)
    short.flags |= dns.flags.TC
    return short.to_wire()


def _bytes(name: tuple[str, ...]) -> list[bytes]:
    return [label.encode("latin-1") for label in name]


def question(name: tuple[str, ...], kind: str) -> bytes:
    """A fresh query message, for following a CNAME."""
    return dns.message.make_query(dns.name.Name((*_bytes(name), b"")), kind).to_wire()


def records(wire: bytes) -> tuple[Rr, ...]:
    """The answer section of a message that came from upstream."""
    message = dns.message.from_wire(wire)
    found = []
    for rrset in message.answer:
        name = tuple(label.decode("latin-1") for label in rrset.name.labels if label)
        found += [Rr(name, dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, rdata.to_text()) for rdata in rrset]
    return tuple(found)
