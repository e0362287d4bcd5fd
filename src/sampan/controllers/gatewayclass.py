"""Accepts the GatewayClasses of our controller and says what it can do, before anybody has a Gateway.

Source: https://gateway-api.sigs.k8s.io/reference/1.6/spec/#gatewayclassstatus
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.gatewayapi import CLASSES, CONTROLLER, FEATURES
from sampan.api.meta import Key
from sampan.client.env import Controller, Env
from sampan.controllers import certmanager as cm
from sampan.controllers.keys import own_key
from sampan.controllers.writes import write_status

ACCEPTED = "True", "Accepted", "handled by sampan"
REFUSED = "False", "InvalidParameters", "parameters are not supported"


def controller() -> Controller:
    return Controller("gatewayclass-controller", {}, reconcile, workers=1, custom=cm.custom({CLASSES: own_key}))


async def reconcile(key: Key, env: Env) -> None:
    found = await cm.find(env, CLASSES, key.name)
    if found is None or meta.deleting(found) or found["spec"].get("controllerName") != CONTROLLER:
        return
    said = REFUSED if found["spec"].get("parametersRef") else ACCEPTED
    before = (found.get("status") or {}).get("conditions") or []
    now, generation = meta.timestamp(env.clock.now()), found["metadata"].get("generation", 0)
    conditions = cm.with_condition(before, "Accepted", *said, now, generation)
    features = [{"name": name} for name in FEATURES]
    await write_status(env, CLASSES, found, {"conditions": conditions, "supportedFeatures": features})
