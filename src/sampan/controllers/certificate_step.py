"""What is to be done for a Certificate now: begin to issue, go on with it, or keep what its Secret says in order.

Source: github.com/cert-manager/cert-manager/pkg/controller/certificates/{trigger,readiness}
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.client.env import After, Env
from sampan.controllers import certificate_policy as policy
from sampan.controllers import certificate_secret as secrets
from sampan.controllers import certificate_spec as specs
from sampan.controllers import certmanager as cm
from sampan.controllers.certificate_issuance import issue
from sampan.controllers.certificate_work import Work

# A failed issuance is tried again after an hour, then after twice as long each time.
_FIRST_RETRY, _LAST_RETRY = 3600.0, 32 * 3600.0
# How long to wait for a Secret that another Certificate has.
_TAKEN = 180.0
# A laptop that slept has lost time: look at the clock at least so often.
LONGEST = 300.0


async def run(env: Env, certificate: Obj) -> After | None:
    work = await Work.begin(env, certificate)
    again = None if work.issuing else await _consider(work)
    if work.issuing:
        await issue(work)
    else:
        await _tidy(work)
    await work.write()
    return again or _next_look(work)


async def _consider(work: Work) -> After | None:
    """Begin to issue, when there is a reason."""
    if _owner_of_secret(work) != meta.name(work.certificate):
        return After(_TAKEN)
    if wait := await _backing_off(work):
        return After(min(wait, LONGEST))
    if why := policy.to_issue(work.found):
        work.set("Issuing", "True", why.reason, why.message)
        await work.write()
        work.event("Normal", "Issuing", why.message)
    return None


def _owner_of_secret(work: Work) -> str:
    """Of several Certificates that name one Secret: whom it was issued for, else the oldest."""
    every = cm.cached(work.env.caches, cm.CERTIFICATES, work.namespace)
    rivals = [c for c in every if c["spec"]["secretName"] == work.spec["secretName"]]
    rivals.append(work.certificate)
    secret = work.found.secret
    said = meta.annotations(secret).get(policy.NAME) if secret else None
    if said in {meta.name(c) for c in rivals}:
        return str(said)
    return min((c["metadata"].get("creationTimestamp", ""), meta.name(c)) for c in rivals)[1]


async def _backing_off(work: Work) -> float:
    """Seconds until a failed issuance may be tried again; a changed spec need not wait."""
    if not work.status.get("lastFailureTime"):
        return 0.0
    failed = await work.request(work.revision + 1)
    try:
        if failed is None or specs.request_mismatches(work.spec, failed):
            return 0.0
    except ValueError:
        return 0.0
    attempts = max(int(work.status.get("failedIssuanceAttempts") or 1), 1)
    delay = min(_FIRST_RETRY * 2.0 ** min(attempts - 1, 10), _LAST_RETRY)
    since = (work.now - meta.parse_time(work.status["lastFailureTime"])).total_seconds()
    return max(delay - since, 0.0)


async def _tidy(work: Work) -> None:
    """What the Secret says beside its key and certificate, when it is ours."""
    await work.forget_key()
    secret, facts = work.found.secret, work.found.facts
    if secret is None or facts is None or policy.to_issue(work.found):
        return
    if meta.annotations(secret).get(policy.NAME) != meta.name(work.certificate):
        return
    if patch := secrets.outdated(work.certificate, secret, facts):
        await work.env.client.patch(cm.SECRETS, meta.name(secret), work.namespace, patch)


def _next_look(work: Work) -> After | None:
    """At the renewal, and at the end of what could not be renewed."""
    moments = [work.found.renewal, work.found.facts and work.found.facts.not_after]
    ahead = [(moment - work.now).total_seconds() for moment in moments if moment]
    ahead = [seconds for seconds in ahead if seconds >= 0]
    return After(min(min(ahead) + 0.1, LONGEST)) if ahead else None
