"""Validation of probes and lifecycle hooks: each names exactly one handler.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import fields, validation
from sampan.api.meta import Obj
from sampan.api.status import FieldError

_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probes(container: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe is None:
            continue
        at = f"{path}.{kind}"
        found += _probe(probe, at)
        if kind == "readinessProbe":
            if (grace := probe.get("terminationGracePeriodSeconds")) is not None:
                text = "must not be set for readinessProbes"
                found.append(fields.invalid(f"{at}.terminationGracePeriodSeconds", grace, text))
        elif probe.get("successThreshold", 1) != 1:
            found.append(fields.invalid(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _probe(probe: Obj, path: str) -> list[FieldError]:
    found = _handler(probe, ("exec", "httpGet", "tcpSocket", "grpc"), path, None)
    for key in _TIMES:
        found += validation.nonnegative(f"{path}.{key}", probe.get(key) or 0)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        found.append(fields.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    return found


def validate_lifecycle(lifecycle: Obj | None, grace: int | None, path: str) -> list[FieldError]:
    """`grace` is the pod's terminationGracePeriodSeconds: a sleep may not outlast it."""
    found: list[FieldError] = []
    for hook in ("postStart", "preStop"):
        handler = (lifecycle or {}).get(hook)
        if handler is not None:
            found += _handler(handler, ("exec", "httpGet", "tcpSocket", "sleep"), f"{path}.{hook}", grace)
    return found


def _handler(holder: Obj, kinds: tuple[str, ...], path: str, grace: int | None) -> list[FieldError]:
    present = [kind for kind in kinds if holder.get(kind) is not None]
    if not present:
        return [fields.required(path, "must specify a handler type")]
    first, *more = present
    if first == "sleep":
        found = _sleep(holder["sleep"], f"{path}.sleep", grace)
    else:
        found = _HANDLERS[first](holder[first], f"{path}.{first}")
    return found + [fields.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type") for kind in more]


def _exec(action: Obj, path: str) -> list[FieldError]:
    return [] if action.get("command") else [fields.required(f"{path}.command")]


def _http_get(action: Obj, path: str) -> list[FieldError]:
    found = [] if action.get("path") else [fields.required(f"{path}.path")]
    found += validation.port_or_name(f"{path}.port", action.get("port", 0))
    if (scheme := action.get("scheme", "")) not in ("HTTP", "HTTPS"):
        found.append(fields.not_supported(f"{path}.scheme", scheme, ("HTTP", "HTTPS")))
    for header in action.get("httpHeaders") or ():
        found += validation.each(validation.http_header, f"{path}.httpHeaders", header.get("name", ""))
    return found


def _port(action: Obj, path: str) -> list[FieldError]:
    return validation.port_or_name(f"{path}.port", action.get("port", 0))


_HANDLERS: dict[str, Callable[[Obj, str], list[FieldError]]] = {
    "exec": _exec,
    "httpGet": _http_get,
    "tcpSocket": _port,
    "grpc": _port,
}


def _sleep(action: Obj, path: str, grace: int | None) -> list[FieldError]:
    seconds = action.get("seconds", 0)
    if grace is None or 0 < seconds <= grace:
        return []
    text = (
        f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace}). "
        "Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
    )
    return [fields.invalid(path, seconds, text)]
