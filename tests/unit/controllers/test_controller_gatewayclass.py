"""GatewayClasses: ours are accepted and say what is supported, others are let alone."""

import asyncio
from dataclasses import replace

from controller_world import World

from sampan.api.gatewayapi import CLASSES, CONTROLLER, FEATURES
from sampan.controllers import gatewayclass


def world():
    row = gatewayclass.controller()
    return World(replace(row, watches={CLASSES: row.custom(CLASSES)}))


def gateway_class(name, controller=CONTROLLER, **spec):
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": name},
        "spec": {"controllerName": controller, **spec},
    }


def reconciled(obj):
    async def run():
        it = world()
        await it.add(CLASSES, obj)
        await it.settle()
        return it.client.find(CLASSES, obj["metadata"]["name"]), it

    return asyncio.run(run())


def test_ours_is_accepted_with_its_features():
    found, _ = reconciled(gateway_class("mine"))
    (condition,) = found["status"]["conditions"]
    assert {k: condition[k] for k in ("type", "status", "reason", "observedGeneration")} == {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "observedGeneration": 1,
    }
    assert [feature["name"] for feature in found["status"]["supportedFeatures"]] == list(FEATURES)


def test_parameters_are_refused():
    found, _ = reconciled(gateway_class("mine", parametersRef={"group": "", "kind": "ConfigMap", "name": "a"}))
    (condition,) = found["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InvalidParameters")


def test_others_are_let_alone():
    found, _ = reconciled(gateway_class("theirs", "example.com/controller"))
    assert "status" not in found
