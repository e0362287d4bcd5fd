"""SPDY/3.1 as dialogues between two ends, and against bytes written down from the protocol."""

from __future__ import annotations

import struct
import zlib

import pytest

from sampan.base.http.spdy import (
    DICTIONARY,
    Connection,
    Data,
    Event,
    Opened,
    Ping,
    Replied,
    Reset,
    SpdyError,
)


def both() -> tuple[Connection, Connection]:
    return Connection(client=True), Connection()


def take(end: Connection, data: bytes) -> list[Event]:
    return list(end.receive(data))


def test_the_dictionary_is_the_protocols() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_a_stream_from_its_first_word_to_its_last() -> None:
    client, server = both()
    number, opening = client.open({"streamType": "stdin", "port": "80"})
    assert number == 1
    assert take(server, opening) == [Opened(1, {"streamtype": "stdin", "port": "80"}, False)]
    assert take(client, server.accept(1)) == [Replied(1)]
    assert take(server, client.send(1, b"in")) == [Data(1, b"in", False)]
    assert take(client, server.send(1, b"out", fin=True)) == [Data(1, b"out", True)]
    assert take(server, client.send(1, b"", fin=True)) == [Data(1, b"", True)]


def test_header_blocks_share_one_compressor() -> None:
    client, server = both()
    for kind in ("error", "stdin", "stdout", "stderr", "resize"):
        number, opening = client.open({"streamType": kind, "requestID": "7"}, fin=kind == "error")
        assert take(server, opening) == [Opened(number, {"streamtype": kind, "requestid": "7"}, kind == "error")]
        assert take(client, server.accept(number)) == [Replied(number)]
    assert number == 9
    assert server.open({})[0] == 2


def test_frames_may_come_in_any_pieces() -> None:
    client, server = both()
    data = client.open({"a": "b"})[1] + client.send(1, b"hello") + client.ping(1) + client.reset(1, 5)
    found = [event for byte in data for event in server.receive(bytes([byte]))]
    assert found == [Opened(1, {"a": "b"}, False), Data(1, b"hello", False), Ping(1), Reset(1, 5)]


def test_much_data_is_several_frames_and_only_the_last_ends() -> None:
    client, server = both()
    data = bytes(range(256)) * 300
    found = take(server, client.send(1, data, fin=True))
    assert b"".join(e.data for e in found if isinstance(e, Data)) == data
    assert [e.fin for e in found if isinstance(e, Data)] == [False, False, True]


def test_only_foreign_pings_are_told() -> None:
    client, server = both()
    assert take(server, client.ping(3)) == [Ping(3)]
    assert take(client, server.ping(3)) == []  # the answer
    assert take(client, server.ping(2)) == [Ping(2)]


def test_what_has_no_meaning_here_is_read_over() -> None:
    client, server = both()
    settings = struct.pack(">HHI", 0x8003, 4, 4) + struct.pack(">I", 0)
    window = struct.pack(">HHI", 0x8003, 9, 8) + struct.pack(">II", 1, 4096)
    assert take(server, settings + window + client.go_away()) == []
    # HEADERS: nobody is told, but the compressor goes on behind it.
    late = struct.pack(">I", 1) + client._block({"x": "y"})
    assert take(server, struct.pack(">HHI", 0x8003, 8, len(late)) + late) == []
    assert take(server, client.open({"x": "z"})[1]) == [Opened(1, {"x": "z"}, False)]


def test_bytes_of_a_frame() -> None:
    end = Connection()
    assert end.send(5, b"ab", fin=True) == b"\0\0\0\5" + b"\1\0\0\2" + b"ab"
    assert end.ping(1) == b"\x80\3\0\6" + b"\0\0\0\4" + b"\0\0\0\1"
    assert end.reset(3, 1) == b"\x80\3\0\3" + b"\0\0\0\x08" + b"\0\0\0\3" + b"\0\0\0\1"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "too large"),
        (struct.pack(">HHI", 0x8002, 1, 0), "version 2"),
        (struct.pack(">HHI", 0x8003, 3, 3) + b"abc", "wrong length"),
        (struct.pack(">HHI", 0x8003, 1, 14) + b"\0" * 14, "header block"),
        (struct.pack(">II", 1, 0xFFFFFF), "too large"),
    ],
)
def test_what_is_not_spdy_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(SpdyError, match=why):
        take(Connection(), data)


def test_a_header_block_cannot_blow_up() -> None:
    bomb = zlib.compressobj(zdict=DICTIONARY)
    block = bomb.compress(b"\0" * (8 << 20)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(SpdyError, match="too large"):
        take(Connection(), struct.pack(">HHI", 0x8003, 1, 10 + len(block)) + b"\0" * 10 + block)
