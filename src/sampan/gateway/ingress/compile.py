"""One Ingress → what it says about each of its hosts, whatever the others say."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.base import log
from sampan.gateway.ingress import backends, guards, paths
from sampan.gateway.ingress.annotations import PREFIX, Read, read_all
from sampan.gateway.ingress.answers import unavailable
from sampan.gateway.ingress.behavior import behavior, canary
from sampan.gateway.ingress.external import Problem
from sampan.gateway.ingress.look import INGRESSES, Look
from sampan.gateway.ingress.model import CATCH_ALL, Backend, Behavior, Certificate, Compiled, Extras, HostPart, Location
from sampan.gateway.ingress.tls import ca_secret, certificate, covers
from sampan.gateway.types import Notice, Ref
from sampan.ir import ListenerTls, Origin, Respond, Secret

COMPONENT = "nginx-ingress-controller"
_log = log.get("gateway")
_INHERITED = ("canary", "affinity", "session-cookie", "load-balance", "upstream-hash-by")


@dataclass(slots=True)
class _Job:
    """An Ingress while it is being read."""

    ingress: Obj
    look: Look
    read: Read
    ref: Ref
    extras: Extras = field(default_factory=Extras)
    behavior: Behavior = field(default_factory=Behavior)
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.ref.namespace

    def origin(self, place: str) -> Origin:
        return Origin(INGRESSES, self.ref.namespace, self.ref.name, place)

    def tell(self, reason: str, message: str) -> None:
        self.told.append((reason, message))


def reads_the_same(one: Obj, other: Obj) -> bool:
    """Nothing but what `compiled` does not look at differs: the status, above all."""
    mine, theirs = one["metadata"], other["metadata"]
    return (
        mine.get("uid") == theirs.get("uid")
        and mine.get("creationTimestamp") == theirs.get("creationTimestamp")
        and meta.annotations(one) == meta.annotations(other)
        and one.get("spec") == other.get("spec")
    )


def compiled(ingress: Obj, look: Look) -> Compiled:
    """A fault of ours is said on the Ingress that shows it, which is left out: the others must not wait for us."""
    ref = Ref(INGRESSES, meta.namespace(ingress), meta.name(ingress))
    age = (str(ingress["metadata"].get("creationTimestamp", "")), ref.namespace, ref.name)
    try:
        return _compiled(ingress, look, ref, age)
    except Exception as error:
        _log.exception("Ingress %s/%s cannot be translated", ref.namespace, ref.name)
        text = f"a fault of the gateway's, please report it: {error!r:.200}; the whole Ingress is left out"
        return Compiled(ref, age, notices=tuple(_notices(ref, [("InternalError", text)])))


def _compiled(ingress: Obj, look: Look, ref: Ref, age: tuple[str, str, str]) -> Compiled:
    job = _Job(ingress, look, _annotations(ingress), ref)
    sync = Notice(ref, "Sync", "Scheduled for sync", "Normal", COMPONENT)
    if job.read.refused:
        return Compiled(ref, age, notices=(sync, *_notices(ref, job.read.told)))
    auth = _client_auth(job)
    job.behavior = behavior(job.read, look, ref.namespace, ref.name, job.extras)
    parts = _parts(job, auth)
    return Compiled(
        ref,
        age,
        parts,
        canary(job.read.values),
        tuple(job.extras.clusters),
        tuple(job.extras.secrets),
        (sync, *_notices(ref, job.read.told + job.told)),
    )


def _annotations(ingress: Obj) -> Read:
    """A canary inherits all but a few from the Ingress it belongs to."""
    given = meta.annotations(ingress)
    read = read_all(given)
    if read.values.get("canary"):
        kept = tuple(PREFIX + name for name in _INHERITED)
        return read_all({k: v for k, v in given.items() if k.startswith(kept)})
    return read


def _notices(ref: Ref, told: list[tuple[str, str]]) -> list[Notice]:
    return [Notice(ref, reason, message, component=COMPONENT) for reason, message in told]


def _parts(job: _Job, auth: ListenerTls | None) -> tuple[HostPart, ...]:
    """A part for each host; an Ingress with nothing but a default backend has one for the catch-all host."""
    spec = job.ingress.get("spec") or {}
    default = _default(job, spec)
    found: dict[str, list[Location]] = {}
    for number, rule in enumerate(spec.get("rules") or ()):
        locations = found.setdefault((rule.get("host") or CATCH_ALL).lower(), [])
        for index, entry in enumerate((rule.get("http") or {}).get("paths") or ()):
            if location := _location(job, entry, f"spec.rules[{number}].http.paths[{index}]"):
                locations.append(location)
    if not found and default is not None:
        found[CATCH_ALL] = []
    values = job.read.values
    certificates = _certificates(job, spec, [host for host in found if host != CATCH_ALL])
    return tuple(
        HostPart(
            host,
            tuple(locations),
            default,
            certificates.get(host),
            auth,
            values.get("server-alias", ()),
            values.get("app-root", ""),
            values.get("from-to-www-redirect", False),
            values.get("ssl-passthrough", False),
        )
        for host, locations in found.items()
    )


def _default(job: _Job, spec: Obj) -> Location | None:
    if not (entry := spec.get("defaultBackend")):
        return None
    place = "spec.defaultBackend"
    return Location("/", paths.PREFIX, _backend(job, entry, place), job.behavior, job.origin(place), job.ref)


def _location(job: _Job, entry: Obj, place: str) -> Location | None:
    path, kind = entry.get("path") or "/", entry.get("pathType") or paths.SPECIFIC
    made = job.behavior
    if why := paths.wrong(path, kind, regex=made.use_regex or bool(made.rewrite)):
        job.tell("InvalidPath", f"{place}: {why}; this path is left out")
        return None
    return Location(path, kind, _backend(job, entry.get("backend") or {}, place), made, job.origin(place), job.ref)


def _backend(job: _Job, entry: Obj, place: str) -> Backend | Respond:
    """The Service, the default backend when that is not there, or an answer that says so."""
    vip = job.behavior.upstream.by_vip
    service = entry.get("service")
    if not service:
        kind = (entry.get("resource") or {}).get("kind", "?")
        job.tell("InvalidBackend", f"{place}: a resource backend ({kind}) is not supported; it answers 503")
        return unavailable(f"Ingress {job.namespace}/{job.ref.name}: resource backends are not supported")
    try:
        return backends.find(job.look, job.namespace, service, vip=vip)
    except backends.Missing as missing:
        message = str(missing)
    if name := job.read.values.get("default-backend"):
        try:
            own = guards.own_name(job.namespace, name, "default-backend")
            instead = backends.first_port(job.look, job.namespace, own)
        except (backends.Missing, Problem):
            pass
        else:
            job.tell("BackendNotFound", f"{place}: {message}; the default backend {name} answers")
            return instead
    job.tell("BackendNotFound", f"{place}: {message}; it answers 503")
    return unavailable(message)


def _certificates(job: _Job, spec: Obj, hosts: list[str]) -> dict[str, Certificate]:
    """By host. One that is named without a (usable) Secret has the default certificate; the others none."""
    made: dict[str, Certificate] = {}
    loaded: dict[str, Secret | None] = {}
    for entry in spec.get("tls") or ():
        named = [host.lower() for host in entry.get("hosts") or ()]
        name = entry.get("secretName") or ""
        wanted = [host for host in named if host in hosts and host not in made]
        secret = loaded[name] if name in loaded else _load(job, name)
        loaded[name] = secret
        if not wanted and secret is not None:
            wanted = [host for host in hosts if host not in made and covers(secret, host)]
        for host in wanted:
            made[host] = Certificate(secret.name if secret else "")
        if secret is not None and wanted:
            job.extras.secrets.append(secret)
            if outside := [host for host in wanted if not covers(secret, host)]:
                text = f"Secret {job.namespace}/{name}: its certificate is not for {', '.join(outside)}"
                job.tell("CertificateMismatch", f"{text}; it is used all the same")
    return made


def _load(job: _Job, name: str) -> Secret | None:
    if not name:
        return None
    try:
        return certificate(job.look, job.namespace, name)
    except Problem as problem:
        job.tell("InvalidCertificate", f"{problem}; the default certificate is used")
        return None


def _client_auth(job: _Job) -> ListenerTls | None:
    """What the hosts ask of clients' certificates. One that cannot be checked denies access."""
    values = job.read.values
    mode = values.get("auth-tls-verify-client", "on")
    if "auth-tls-secret" not in values or mode == "off":
        return None
    rules = (job.ingress.get("spec") or {}).get("rules") or ()
    try:
        if not rules or not all(rule.get("host") for rule in rules):
            raise Problem(f"{PREFIX}auth-tls-secret needs a host in each rule")
        name = guards.own_name(job.namespace, values["auth-tls-secret"], "auth-tls-secret")
        roots = ca_secret(job.look, job.namespace, name, "auth-tls-secret")
    except Problem as problem:
        job.read.deny("InvalidAnnotation", str(problem))
        return None
    job.extras.secrets.append(roots)
    return ListenerTls((), client_ca=roots.name, client_required=mode == "on", client_insecure=mode == "optional_no_ca")
