"""A small delta ADS server for tests of what is built: pushes snapshots, says what was acknowledged and what refused.

Apart from the server of the project, so that neither hides the other's mistakes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from sampan.xds.types import CLUSTER, ENDPOINTS, TYPES, Snapshot

METHOD = "DeltaAggregatedResources"


class AdsServer:
    """One snapshot for everybody. `push` waits until a connected Envoy has answered for all types that it asked for."""

    def __init__(self, address: str, credentials: grpc.ServerCredentials | None = None) -> None:
        self.snapshot = Snapshot()
        self.refused: dict[str, str] = {}
        self._changed = threading.Condition()
        self._streams: list[_Stream] = []
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            discovery_pb2.DeltaDiscoveryRequest.FromString,
            discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {METHOD: handler})])
        if credentials:
            assert self._server.add_secure_port(address, credentials)
        else:
            assert self._server.add_insecure_port(address)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0)

    @property
    def streams(self) -> int:
        return len(self._streams)

    def close_streams(self) -> None:
        with self._changed:
            for stream in self._streams:
                stream.out.put(None)

    def push(self, snapshot: Snapshot, seconds: float = 20) -> dict[str, str]:
        """What was refused: type URL → Envoy's words."""
        with self._changed:
            self.snapshot = snapshot
            self.refused = {}
            for stream in self._streams:
                stream.send_changes(self.snapshot)
            assert self._changed.wait_for(self._quiet, seconds), "Envoy does not answer"
        return self.refused

    def _quiet(self) -> bool:
        """Everything sent was answered, and all that the snapshot has to offer was asked for."""
        return bool(self._streams) and all(not s.waiting and s.asked for s in self._streams)

    def _stream(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        stream = _Stream()
        with self._changed:
            self._streams.append(stream)
        threading.Thread(target=self._read, args=(requests, stream), daemon=True).start()
        while (response := stream.out.get()) is not None:
            yield response

    def _read(self, requests: Iterator[Any], stream: _Stream) -> None:
        try:
            for request in requests:
                with self._changed:
                    if request.response_nonce:
                        stream.waiting.discard(request.response_nonce)
                        if request.HasField("error_detail"):
                            self.refused[request.type_url] = request.error_detail.message
                    stream.subscribe(request)
                    stream.send_changes(self.snapshot)
                    self._changed.notify_all()
        except grpc.RpcError:
            pass
        finally:
            with self._changed:
                self._streams.remove(stream)
            stream.out.put(None)


class _Stream:
    def __init__(self) -> None:
        self.out: queue.Queue[Any] = queue.Queue()
        self.waiting: set[str] = set()
        self.asked = False
        self._wanted: dict[str, set[str] | None] = {}  # None: everything
        self._sent: dict[str, dict[str, str]] = {}
        self._answered: set[str] = set()
        self._nonce = 0

    def subscribe(self, request: Any) -> None:
        url = request.type_url
        names = set(request.resource_names_subscribe)
        if url not in self._wanted:
            self._wanted[url] = names or None
        elif self._wanted[url] is not None:
            self._wanted[url] = (self._wanted[url] | names) - set(request.resource_names_unsubscribe)
        for name in request.resource_names_unsubscribe:
            self._sent.get(url, {}).pop(name, None)
        self.asked = True

    def send_changes(self, snapshot: Snapshot) -> None:
        for url in TYPES:
            if url not in self._wanted:
                continue
            wanted, sent, there = self._wanted[url], self._sent.setdefault(url, {}), snapshot.of(url)
            names = there.keys() if wanted is None else wanted & there.keys()
            changed = [there[name] for name in sorted(names) if sent.get(name) != there[name].version]
            removed = [name for name in sent if name not in there]
            if not changed and not removed and url in self._answered:
                continue
            self._answered.add(url)  # the first answer to a type may be that there is nothing
            if url == CLUSTER and changed:
                # A new cluster does not get warm without its endpoints, which Envoy does not ask for when it has them.
                self._sent[ENDPOINTS] = dict.fromkeys(self._sent.get(ENDPOINTS, ()), "")
            self._nonce += 1
            response = discovery_pb2.DeltaDiscoveryResponse(type_url=url, nonce=f"{self._nonce}")
            for one in changed:
                response.resources.add(
                    name=one.name, version=one.version, resource=any_pb2.Any(type_url=url, value=one.body)
                )
                sent[one.name] = one.version
            response.removed_resources.extend(removed)
            for name in removed:
                del sent[name]
            self.waiting.add(response.nonce)
            self.out.put(response)
