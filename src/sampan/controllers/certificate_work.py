"""One look at one Certificate: what there is of it, and its status as it was written last or will be."""

from __future__ import annotations

import hashlib

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.client.env import Env
from sampan.controllers import certificate_policy as policy
from sampan.controllers import certmanager as cm
from sampan.controllers.writes import remove, write_status

_READY = "Certificate is up to date and has not expired"
# Names of requests have at most 253 characters.
_LONG, _CUT = 233, 168


class Work:
    """`found` is what a decision is made of; made by `begin`."""

    def __init__(self, env: Env, certificate: Obj) -> None:
        self.env, self.certificate = env, certificate
        self.spec: Obj = certificate["spec"]
        self.namespace = meta.namespace(certificate)
        self.status: Obj = dict(certificate.get("status") or {})
        self.now = env.clock.now()
        self.found = policy.Input(certificate, None, None, self.now)
        self._written = dict(self.status)

    @classmethod
    async def begin(cls, env: Env, certificate: Obj) -> Work:
        work = cls(env, certificate)
        work.saw(await work.secret(work.spec["secretName"]), await work.request(work.revision))
        return work

    def saw(self, secret: Obj | None, request: Obj | None) -> None:
        """`request`: the one that led to what is in the Secret."""
        self.found = policy.Input(self.certificate, secret, request, self.now)

    @property
    def revision(self) -> int:
        """How many times it was issued."""
        return int(self.status.get("revision") or 0)

    @property
    def issuing(self) -> bool:
        return meta.is_true({"status": self.status}, "Issuing")

    async def secret(self, name: str) -> Obj | None:
        return await cm.find(self.env, cm.SECRETS, name, self.namespace) if name else None

    async def request(self, number: int) -> Obj | None:
        """Our CertificateRequest of a revision."""
        name = request_name(self.certificate, number)
        found = await cm.find(self.env, cm.REQUESTS, name, self.namespace) if number else None
        owner = meta.controller_of(found) if found else None
        return found if owner and owner["uid"] == meta.uid(self.certificate) else None

    async def forget_key(self) -> None:
        """No key waits for a certificate any more: its Secret goes."""
        if secret := await self.secret(self.status.pop("nextPrivateKeySecretName", "")):
            await remove(self.env, cm.SECRETS, secret)

    def set(self, kind: str, status: str, reason: str, message: str) -> None:
        conditions, now = self.status.get("conditions") or (), meta.timestamp(self.now)
        generation = self.certificate["metadata"].get("generation", 0)
        self.status["conditions"] = cm.with_condition(conditions, kind, status, reason, message, now, generation)

    def event(self, kind: str, reason: str, message: str) -> None:
        self.env.events.event(self.certificate, kind, reason, message)

    async def write(self) -> None:
        """The status, with what is found now."""
        if why := policy.not_ready(self.found):
            self.set("Ready", "False", why.reason, why.message)
        else:
            self.set("Ready", "True", "Ready", _READY)
        facts = self.found.facts
        times = {
            "notBefore": facts.not_before if facts else None,
            "notAfter": facts.not_after if facts else None,
            "renewalTime": self.found.renewal,
        }
        for field, moment in times.items():
            self.status.pop(field, None)
            if moment is not None:
                self.status[field] = meta.timestamp(moment)
        await write_status(self.env, cm.CERTIFICATES, {**self.certificate, "status": self._written}, self.status)
        self._written = dict(self.status)


def request_name(certificate: Obj, number: int) -> str:
    """NAME-NUMBER; of a very long name a part, made unique by a hash."""
    name = meta.name(certificate)
    if len(name) > _LONG:
        name = f"{name[:_CUT]}-{hashlib.sha256(name.encode()).hexdigest()}"
    return f"{name}-{number}"
