"""The message of Envoy's body_size_limit filter, which is younger than the xds-protos package.

message BodySizeLimit { google.protobuf.UInt32Value max_request_bytes = 1; }
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from sampan.xds.messages import Message, uint32

MOST = 0xFFFFFFFF


def _message_class() -> Message:
    package = "envoy.extensions.filters.http.body_size_limit.v3"
    file = descriptor_pb2.FileDescriptorProto(
        name="envoy/extensions/filters/http/body_size_limit/v3/body_size_limit.proto",
        package=package,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    file.message_type.add(name="BodySizeLimit").field.add(
        name="max_request_bytes",
        number=1,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".google.protobuf.UInt32Value",
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.BodySizeLimit"))


_BodySizeLimit = _message_class()


def body_size_limit(most: int) -> Message:
    """Up to MOST; 0 says nothing."""
    return _BodySizeLimit(max_request_bytes=uint32(most)) if most else _BodySizeLimit()
