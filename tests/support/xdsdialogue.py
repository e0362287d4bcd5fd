"""Dialogues with a session: what the client says, what it must hear. Short names for the types, `name@version` for
resources."""

from envoy.service.discovery.v3 import discovery_pb2

from sampan.xds.discovery import Encoder, Request
from sampan.xds.hub import differences
from sampan.xds.session import Session
from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Resource, Snapshot

CDS, EDS, SDS, LDS, RDS = "CDS", "EDS", "SDS", "LDS", "RDS"
URLS = {CDS: CLUSTER, EDS: ENDPOINTS, SDS: SECRET, LDS: LISTENER, RDS: ROUTES}
SHORT = {url: short for short, url in URLS.items()}


def snapshot(version: int, **types: str) -> Snapshot:
    """`snapshot(1, CDS="a@1>e b@1", EDS="e@1")`: cluster a waits for the endpoints e."""
    resources = {}
    for short, text in types.items():
        made = {}
        for word in text.split():
            word, _, endpoints = word.partition(">")
            name, _, number = word.partition("@")
            made[name] = Resource(name, number, f"{name} {number}".encode(), (), endpoints)
        resources[URLS[short]] = made
    return Snapshot(version, resources)


class Dialogue:
    """`client(...)` says something, `publish` changes the world; `hears` is all that was sent since, in order, as
    "CDS a@1 b@1 -c" a response."""

    def __init__(self, delta: bool = True, gone=None) -> None:
        self.delta = delta
        self.now = 0.0
        self.encoder = Encoder()
        self.session = Session(delta, self.encoder, gone or {})
        self.world: Snapshot | None = None
        self.nonces: dict[str, str] = {}
        self.unanswered: list[str] = []
        self.nacks = []
        self.seen: set[tuple[str, str]] = set()

    def publish(self, world: Snapshot) -> "Dialogue":
        self.encoder.reset()
        self.session.publish(world, differences(self.world or Snapshot(), world))
        self.world = world
        return self

    def client(self, short: str, *names: str, minus=(), has=None, nonce=None, error=None) -> "Dialogue":
        """A request. State of the world: names are the whole list, and the last nonce comes with it by itself."""
        nonce = nonce if nonce is not None else ("" if self.delta else self.nonces.get(short, ""))
        request = Request(URLS[short], tuple(names), tuple(minus), dict(has or {}), nonce, error)
        refused = self.session.receive(request)
        if refused:
            self.nacks.append(f"{SHORT[refused.type_url]} {' '.join(refused.names)}: {refused.message}")
        return self

    def ack(self, short: str, *names: str) -> "Dialogue":
        return self.client(short, *names, nonce=self.nonces[short])

    def nack(self, short: str, error: str, *names: str) -> "Dialogue":
        return self.client(short, *names, nonce=self.nonces[short], error=error)

    def hears(self, *responses: str) -> "Dialogue":
        heard = [self._read(send.body) for send in self.session.turn(self.now)]
        assert heard == list(responses)
        return self

    def hears_and_acks(self, *responses: str) -> "Dialogue":
        """All it hears until there is silence, each turn acknowledged."""
        heard = []
        for _ in range(50):
            sends = self.session.turn(self.now)
            if not sends:
                break
            for send in sends:
                heard.append(self._read(send.body))
            for short in dict.fromkeys(text.split()[0] for text in heard[-len(sends) :]):
                self.client(short, *self._sotw_names(short), nonce=self.nonces[short])
        assert heard == list(responses)
        return self

    def later(self, seconds: float) -> "Dialogue":
        self.now += seconds
        return self

    def state(self, short: str) -> str:
        return next(
            f"{s.state} {s.sent}/{s.acked} {s.message}".strip()
            for s in self.session.status()
            if s.type_url == URLS[short]
        )

    def _sotw_names(self, short: str):
        subscription = self.session._subscriptions[URLS[short]]
        if self.delta:
            return ()
        return (*(["*"] if subscription.wildcard and subscription.named else []), *subscription.names)

    def _read(self, body: bytes) -> str:
        kind = discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse
        message = kind.FromString(body)
        short = SHORT[message.type_url]
        assert message.nonce
        assert (short, message.nonce) not in self.seen, "a nonce twice on one stream"
        self.seen.add((short, message.nonce))
        self.nonces[short] = message.nonce
        words = []
        for resource in message.resources:
            value = (resource.resource if self.delta else resource).value.decode()
            words.append(value.replace(" ", "@"))
            if self.delta:
                assert f"{resource.name}@{resource.version}" == words[-1]
                assert resource.resource.type_url == message.type_url
        if self.delta:
            words += [f"-{name}" for name in message.removed_resources]
        return " ".join([short, *words])
