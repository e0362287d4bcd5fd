"""A model of an Envoy on an ADS stream: what it has, what it asks for and when it answers. No gRPC."""

from collections import deque

from envoy.service.discovery.v3 import discovery_pb2

from sampan.base.clock import FakeClock
from sampan.xds.discovery import Request
from sampan.xds.hub import Hub
from sampan.xds.types import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Snapshot

SHORT = {CLUSTER: "CDS", ENDPOINTS: "EDS", LISTENER: "LDS", ROUTES: "RDS"}
WILD = (CLUSTER, LISTENER)


class Client:
    """Bodies are "name version what-it-refers-to". Requests and responses wait in queues until `say` and `hear`.

    As Envoy does it: endpoints are asked for when the first cluster needs them, the ACK of clusters is kept back while
    one is not warm, which it gets by endpoints that come after it.
    """

    def __init__(self, delta: bool) -> None:
        self.delta = delta
        self.clock = FakeClock()
        self.hub = Hub(self.clock)
        self.held: dict[str, dict[str, tuple[str, str]]] = {url: {} for url in SHORT}
        self.warming: set[str] = set()
        self.stream = None
        self._connect({})

    def _connect(self, has) -> None:
        self.asked: dict[str, set[str]] = {ENDPOINTS: set(), ROUTES: set()}
        self.nonce = dict.fromkeys(SHORT, "")
        self.requests: deque[Request] = deque()
        self.responses: deque[bytes] = deque()
        self.kept_back: Request | None = None
        for url in SHORT:
            names = set() if url in WILD else self._needed(url)
            if url in WILD or names:
                self._ask(url, names, has=has.get(url, {}))
            if url not in WILD:
                self.asked[url] = names

    # -- events

    def publish(self, snapshot: Snapshot) -> None:
        self.hub.publish("k", snapshot)
        self._collect()

    def say(self) -> None:
        """One request reaches the server."""
        if self.requests:
            request = self.requests.popleft()
            if self.stream is None:
                self.stream = self.hub.join(self.delta, request)
            self.hub.receive(self.stream, request)
            self._collect()

    def hear(self) -> None:
        """One response reaches the client."""
        if self.responses:
            self._take(self.responses.popleft())

    def wait(self) -> None:
        """Longer than the server's patience."""
        self.clock._elapsed += 3
        self._collect()

    def reconnect(self) -> None:
        """The stream breaks, it comes back and says what it has. (Of a cluster that is just warming it cannot say that it
        still waits for endpoints: that ends by Envoy's initial_fetch_timeout, so it does here.)"""
        self._break()
        self.warming.clear()
        self._connect({url: {n: v for n, (v, _) in held.items()} for url, held in self.held.items()})

    def forget(self) -> None:
        """The same, from a server that this one knows nothing of: it does not say what it has."""
        self._break()
        self._connect({})

    def finish(self) -> None:
        for _ in range(200):
            if not (self.requests or self.responses):
                self.wait()
            if not (self.requests or self.responses):
                assert not self.warming, f"{self.warming} wait for endpoints"
                assert self.hub.settled("k")
                return
            self.say()
            self.hear()
            self.check()
        raise AssertionError("it never ends")

    def check(self) -> None:
        """No route leads to a cluster that is not there."""
        for _, refers in self.held[ROUTES].values():
            missing = set(refers.split()) - self.held[CLUSTER].keys()
            assert not missing, f"the route leads to {missing}"

    def has(self):
        return {SHORT[url]: {n: v for n, (v, _) in sorted(held.items())} for url, held in self.held.items()}

    # -- inside

    def _break(self) -> None:
        if self.stream:
            self.hub.leave(self.stream)
        self.stream = None

    def _collect(self) -> None:
        if self.stream:
            self.responses += [send.body for send in self.hub.turn(self.stream)]

    def _needed(self, url):
        return {f"e{n}" for n in self.held[CLUSTER]} if url == ENDPOINTS else {"r"} if self.held[LISTENER] else set()

    def _ask(self, url, names, *, minus=(), nonce="", error=None, has=None) -> None:
        request = Request(url, tuple(sorted(names)), tuple(sorted(minus)), has or {}, nonce, error, "n", "k")
        self.requests.append(request)

    def _take(self, body: bytes) -> None:
        message = (discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse).FromString(
            body
        )
        url = message.type_url
        self.nonce[url] = message.nonce
        held = self.held[url]
        came = {}
        for entry in message.resources:
            name, version, *refers = (entry.resource if self.delta else entry).value.decode().split(" ", 2)
            came[name] = (version, "".join(refers))
        if self.delta:
            gone = set(message.removed_resources)
        else:
            gone = held.keys() - came.keys() if url in WILD else set()
        if url == CLUSTER:
            self.warming |= {n for n in came if held.get(n) != came[n]}
            self.warming -= gone
        if url == ENDPOINTS:
            self.warming -= {n[1:] for n in came.keys() | gone}
        for name in gone:
            held.pop(name, None)
        held.update(came if url in WILD else {n: v for n, v in came.items() if n in self.asked[url]})
        self._follow()
        if url == CLUSTER and self.warming:
            self.kept_back = message.nonce
        else:
            self._ack(url)
        if not self.warming and self.kept_back:
            self.kept_back = None
            self._ack(CLUSTER)

    def _ack(self, url) -> None:
        self._ask(url, () if self.delta or url in WILD else self.asked[url], nonce=self.nonce[url])

    def _follow(self) -> None:
        """Ask for what clusters and listeners now need."""
        for url in (ENDPOINTS, ROUTES):
            needed, asked = self._needed(url), self.asked[url]
            if needed == asked:
                continue
            self.asked[url] = needed
            if self.delta:
                self._ask(url, needed - asked, minus=asked - needed)
            else:
                self._ask(url, needed, nonce=self.nonce[url])
            for name in asked - needed:
                self.held[url].pop(name, None)
