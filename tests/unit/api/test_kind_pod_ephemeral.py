"""The pods/ephemeralcontainers subresource through the registry: what may be added, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api import meta
from sampan.api.kinds.pod import RESOURCE
from sampan.api.kinds.pod_update import validate_ephemeral


def pod(*ephemeral: dict[str, Any]) -> dict[str, Any]:
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "app", "image": "i"}], "ephemeralContainers": list(ephemeral)},
    }
    RESOURCE.strategy.default(obj)
    return obj


def debugger(name: str = "d", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", **more}


def texts(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    return [str(error) for error in validate_ephemeral(new, old)]


def test_they_are_added() -> None:
    assert texts(pod(debugger(targetContainerName="app")), pod()) == []
    assert texts(pod(debugger(), debugger("e")), pod(debugger())) == []


@pytest.mark.parametrize(
    ("new", "old", "text"),
    [
        (pod(), pod(debugger()), 'existing ephemeral containers "d" may not be removed'),
        (pod(debugger(tty=True)), pod(debugger()), 'existing ephemeral containers "d" may not be changed'),
        (pod(debugger("app")), pod(), 'spec.ephemeralContainers[0].name: Duplicate value: "app"'),
        (pod(debugger(targetContainerName="x")), pod(), 'targetContainerName: Not found: "x"'),
        (pod(debugger(ports=[{"containerPort": 80}])), pod(), "ports: Forbidden: cannot be set for an Ephemeral"),
        (pod(debugger(resources={"limits": {"cpu": "1"}})), pod(), "resources: Forbidden: cannot be set for an Eph"),
        (pod({"name": "d"}), pod(), "spec.ephemeralContainers[0].image: Required value"),
    ],
)
def test_what_is_refused(new: dict[str, Any], old: dict[str, Any], text: str) -> None:
    assert any(text in found for found in texts(new, old)), texts(new, old)


def test_an_ordinary_update_cannot_add_one() -> None:
    new = meta.copy(pod(debugger()))
    assert any("pod updates may not change fields" in str(e) for e in RESOURCE.strategy.validate_update(new, pod()))
