"""Protobuf bodies, written here by hand from the wire format."""

import pytest

from sampan.api.status import ApiError
from sampan.server.protobuf import decode


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def bytes_field(number, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def int_field(number, value):
    return varint(number << 3) + varint(value)


def envelope(version, kind, message):
    about = bytes_field(1, version) + bytes_field(2, kind)
    return b"k8s\0" + bytes_field(1, about) + bytes_field(2, message) + bytes_field(3, "") + bytes_field(4, "")


def metadata(name):
    # As Go writes it: empty strings, zero numbers and the zero time are on the wire.
    return b"".join(
        (bytes_field(1, name), bytes_field(2, ""), bytes_field(3, ""), int_field(7, 0), bytes_field(8, b""))
    )


def test_maps_strings_and_bytes():
    entry = bytes_field(1, "k") + bytes_field(2, "v")
    secret = bytes_field(1, metadata("s")) + bytes_field(2, entry) + bytes_field(3, "Opaque")
    assert decode(envelope("v1", "Secret", secret)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"k": "dg=="},
        "type": "Opaque",
    }


def test_numbers_pointers_and_unions():
    target = int_field(1, 1) + int_field(2, 0) + bytes_field(3, "http")
    port = bytes_field(1, "") + bytes_field(2, "TCP") + int_field(3, 80) + bytes_field(4, target) + int_field(5, 0)
    service = bytes_field(1, metadata("s")) + bytes_field(2, bytes_field(1, port))
    assert decode(envelope("v1", "Service", service))["spec"] == {
        "ports": [{"protocol": "TCP", "port": 80, "targetPort": "http"}]
    }
    # replicas is a pointer, so a zero is one; minReadySeconds is none.
    deployment = bytes_field(2, int_field(1, 0) + int_field(5, 0))
    assert decode(envelope("apps/v1", "Deployment", deployment))["spec"] == {"replicas": 0}


def test_inlined_messages_and_quantities():
    empty_dir = bytes_field(2, bytes_field(2, bytes_field(1, "1Mi")))  # VolumeSource.emptyDir.sizeLimit
    volume = bytes_field(1, "v") + bytes_field(2, empty_dir)
    pod = bytes_field(2, bytes_field(1, volume))
    assert decode(envelope("v1", "Pod", pod))["spec"]["volumes"] == [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]


def test_negative_numbers_and_times():
    lease = bytes_field(2, int_field(5, -1) + bytes_field(3, int_field(1, 1_000_000_000) + int_field(2, 5000)))
    found = decode(envelope("coordination.k8s.io/v1", "Lease", lease))["spec"]
    assert found == {"acquireTime": "2001-09-09T01:46:40.000005Z", "leaseTransitions": -1}


def test_options_belong_to_any_group():
    body = envelope("apps/v1", "DeleteOptions", int_field(1, 0) + bytes_field(4, "Foreground"))
    found = decode(body)
    assert (found["gracePeriodSeconds"], found["propagationPolicy"]) == (0, "Foreground")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\0",
        b"k8s\0\xff\xff\xff",
        envelope("v1", "NoSuchKind", b""),
        envelope("v1", "ConfigMap", b"\x0a\x7f"),
        envelope("v1", "ConfigMap", bytes_field(1, bytes_field(1, b"\xff\xfe"))),
        envelope("v1", "ConfigMap", int_field(1, 3)),
        envelope("v1", "Lease", b"") + b"\x0b",
    ],
)
def test_rubbish_is_refused(body):
    with pytest.raises(ApiError) as error:
        decode(body)
    assert error.value.code == 400
