"""URLs of other services in annotations (auth-url, mirror-target): where they lead, and nginx's $variables in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sampan.gateway.ingress import backends
from sampan.gateway.ingress.annotations import PREFIX
from sampan.gateway.ingress.look import Look
from sampan.gateway.ingress.model import Upstream
from sampan.ir import Cluster, UpstreamTls

_VARIABLES = {
    "host": "%REQ(:authority)%",
    "http_host": "%REQ(:authority)%",
    "best_http_host": "%REQ(:authority)%",
    "request_uri": "%REQ(:path)%",
    "escaped_request_uri": "%ESCAPE(:path)%",
    "scheme": "%REQ(x-forwarded-proto)%",
    "pass_access_scheme": "%REQ(x-forwarded-proto)%",
    "request_method": "%REQ(:method)%",
    "remote_addr": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "req_id": "%REQ(x-request-id)%",
    "request_id": "%REQ(x-request-id)%",
}
_SERVICE = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)(\.svc(\.cluster\.local\.?)?)?")


class Problem(Exception):
    """An annotation that cannot be done; names it, and says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a URL leads: `host` is the Host header, `path` has the query and may hold %…% commands."""

    cluster: Cluster
    host: str
    path: str


def variables(text: str, annotation: str) -> str:
    """nginx's $variables as %…% commands; a literal % is doubled. Raises Problem for those without a counterpart."""

    def one(hit: re.Match[str]) -> str:
        name = hit[1] or hit[2]
        if name in _VARIABLES:
            return _VARIABLES[name]
        kind, _, rest = name.partition("_")
        if kind == "http" and rest:
            return f"%REQ({rest.replace('_', '-')})%"
        known = ", ".join(f"${known}" for known in sorted(_VARIABLES))
        raise Problem(f"{PREFIX}{annotation}: ${name} has no counterpart; {known} and $http_NAME have")

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", one, text.replace("%", "%%"))


def asked(look: Look, url: str, annotation: str) -> Asked:
    """The cluster for a URL: of a Service of this cluster when the host is one, else of a name that is resolved.

    `url`: as `values.url` has read it.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if "$" in parts.netloc or "$" in parts.scheme or not host:
        raise Problem(f"{PREFIX}{annotation}: {url!r} has a variable in its scheme or host, which is not supported")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Asked(_cluster(look, host, port, secure), host, variables(path, annotation))


def _cluster(look: Look, host: str, port: int, secure: bool) -> Cluster:
    tls = UpstreamTls(sni=host)
    found = _SERVICE.fullmatch(host)
    if found and look.service(found[2], found[1]) is not None:
        try:
            backend = backends.find(look, found[2], {"name": found[1], "port": {"number": port}})
        except backends.Missing:
            pass  # its name is resolved all the same
        else:
            return backends.cluster(backend, Upstream("HTTPS" if secure else "HTTP", tls=tls), None)
    name = f"ingress-dns/{host}/{port}" + ("/https" if secure else "")
    return Cluster(name, dns=(host, port), service=f"{host}:{port}", tls=tls if secure else None)
