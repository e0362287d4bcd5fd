"""Validation of a pod's containers: regular, init (and sidecars) and ephemeral ones.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import fields, pods, validation
from sampan.api.kinds import paths
from sampan.api.kinds.env_validation import validate_env, validate_env_from
from sampan.api.kinds.handler_validation import validate_lifecycle, validate_probes
from sampan.api.kinds.resources_validation import validate_resources
from sampan.api.kinds.security_validation import validate_container_context
from sampan.api.meta import Obj
from sampan.api.status import FieldError

Volumes = Mapping[str, Obj]

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_SIDECAR_FIELDS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_NOT_EPHEMERAL = ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def validate_containers(spec: Obj, path: str, volumes: Volumes) -> list[FieldError]:
    """All containers of a PodSpec that stands at `path`; `volumes` are its good volumes by name."""
    regular, initial = spec.get("containers") or [], spec.get("initContainers") or []
    grace = spec.get("terminationGracePeriodSeconds")
    found = _regular(regular, grace, f"{path}.containers", volumes)
    found += _init(initial, {c.get("name", "") for c in regular}, grace, f"{path}.initContainers", volumes)
    names = {c.get("name", "") for c in (*regular, *initial)}
    return found + _ephemeral(spec.get("ephemeralContainers") or [], names, f"{path}.ephemeralContainers", volumes)


def _regular(containers: list[Obj], grace: int | None, path: str, volumes: Volumes) -> list[FieldError]:
    if not containers:
        return [fields.required(path)]
    found: list[FieldError] = []
    names: set[str] = set()
    for i, container in enumerate(containers):
        at, name = f"{path}[{i}]", container.get("name", "")
        found += _common(container, at, volumes)
        if name in names:
            found.append(fields.duplicate(f"{at}.name", name))
        names.add(name)
        found += validate_lifecycle(container.get("lifecycle"), grace, f"{at}.lifecycle")
        found += validate_probes(container, at)
        if container.get("restartPolicy") is not None:
            found.append(fields.forbidden(f"{at}.restartPolicy", "may not be set for non-init containers"))
    return found + _host_ports(list(enumerate(containers)), path)


def _init(containers: list[Obj], taken: set[str], grace: int | None, path: str, volumes: Volumes) -> list[FieldError]:
    found: list[FieldError] = []
    for i, container in enumerate(containers):
        at, name = f"{path}[{i}]", container.get("name", "")
        found += _common(container, at, volumes)
        policy = container.get("restartPolicy")
        if policy is not None and policy != "Always":
            found.append(fields.not_supported(f"{at}.restartPolicy", policy, ("Always",)))
        if name and name in taken:
            found.append(fields.duplicate(f"{at}.name", name))
        taken.add(name)
        # One at a time, because init containers run one after the other.
        found += _host_ports([(i, container)], path)
        if pods.is_sidecar(container):
            found += validate_lifecycle(container.get("lifecycle"), grace, f"{at}.lifecycle")
            found += validate_probes(container, at)
        else:
            text = "may not be set for init containers without restartPolicy=Always"
            found += [fields.forbidden(f"{at}.{f}", text) for f in _SIDECAR_FIELDS if container.get(f) is not None]
    return found


def _ephemeral(containers: list[Obj], targets: set[str], path: str, volumes: Volumes) -> list[FieldError]:
    found: list[FieldError] = []
    text = "cannot be set for an Ephemeral Container"
    taken = set(targets)
    for i, container in enumerate(containers):
        at, name = f"{path}[{i}]", container.get("name", "")
        found += _common(container, at, volumes) + validate_image_padding(container, at)
        if name in taken:
            found.append(fields.duplicate(f"{at}.name", name))
        taken.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            found.append(fields.not_found(f"{at}.targetContainerName", target))
        found += [fields.forbidden(f"{at}.{key}", text) for key in _NOT_EPHEMERAL if container.get(key)]
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    found.append(fields.forbidden(f"{at}.volumeMounts[{j}].{key}", text))
    return found


def validate_image_padding(container: Obj, path: str) -> list[FieldError]:
    """Pods, unlike templates, may not have space around an image's name."""
    image = container.get("image", "")
    if image == image.strip():
        return []
    return [fields.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")]


def _common(container: Obj, path: str, volumes: Volumes) -> list[FieldError]:
    name = container.get("name", "")
    found = validation.each(validation.dns_label, f"{path}.name", name) if name else [fields.required(f"{path}.name")]
    if not container.get("image"):
        found.append(fields.required(f"{path}.image"))
    policy = container.get("terminationMessagePolicy")
    found += validation.one_of(f"{path}.terminationMessagePolicy", policy, _MESSAGE_POLICIES)
    found += _ports(container.get("ports") or [], f"{path}.ports")
    found += validate_env(container.get("env") or [], f"{path}.env")
    found += validate_env_from(container.get("envFrom") or [], f"{path}.envFrom")
    found += _mounts(container, f"{path}.volumeMounts", volumes)
    found += _devices(container, f"{path}.volumeDevices", volumes)
    found += validation.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    found += validate_resources(container.get("resources") or {}, f"{path}.resources")
    return found + validate_container_context(container.get("securityContext") or {}, f"{path}.securityContext")


def _ports(ports: list[Obj], path: str) -> list[FieldError]:
    found: list[FieldError] = []
    names: set[str] = set()
    for i, port in enumerate(ports):
        at, name = f"{path}[{i}]", port.get("name", "")
        if name:
            faults = validation.each(validation.port_name, f"{at}.name", name)
            if not faults and name in names:
                faults = [fields.duplicate(f"{at}.name", name)]
            found += faults
            names.add(name)
        if not port.get("containerPort"):
            found.append(fields.required(f"{at}.containerPort"))
        else:
            found += validation.port(f"{at}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            found += validation.port(f"{at}.hostPort", port["hostPort"])
        found += validation.one_of(f"{at}.protocol", port.get("protocol"), validation.PROTOCOLS)
    return found


def _host_ports(containers: list[tuple[int, Obj]], path: str) -> list[FieldError]:
    """Host ports that two containers (given with their index) want."""
    found: list[FieldError] = []
    used: set[str] = set()
    for i, container in containers:
        for j, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            wanted = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if wanted in used:
                found.append(fields.duplicate(f"{path}[{i}].ports[{j}].hostPort", wanted))
            used.add(wanted)
    return found


def _mounts(container: Obj, path: str, volumes: Volumes) -> list[FieldError]:
    found: list[FieldError] = []
    devices = container.get("volumeDevices") or ()
    targets: set[str] = set()
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        at, name, target = f"{path}[{i}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            found.append(fields.required(f"{at}.name"))
        if name not in volumes:
            found.append(fields.not_found(f"{at}.name", name))
        if not target:
            found.append(fields.required(f"{at}.mountPath"))
        if target in targets:
            found.append(fields.invalid(f"{at}.mountPath", target, "must be unique"))
        targets.add(target)
        if name in [d.get("name") for d in devices]:
            found.append(fields.invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if target in [d.get("devicePath") for d in devices]:
            found.append(fields.invalid(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices"))
        # From here on kube-apiserver names the list, not its entry.
        if mount.get("subPath") and mount.get("subPathExpr"):
            text = "subPathExpr and subPath are mutually exclusive"
            found.append(fields.invalid(f"{at}.subPathExpr", mount["subPathExpr"], text))
        for key in ("subPath", "subPathExpr"):
            found += paths.descending(mount.get(key) or "", f"{path}.{key}")
        found += _propagation(mount, container, path)
    return found


def _propagation(mount: Obj, container: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None and propagation not in _PROPAGATIONS:
        found.append(fields.not_supported(f"{path}.mountPropagation", propagation, _PROPAGATIONS))
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        text = "Bidirectional mount propagation is available only to privileged containers"
        found.append(fields.forbidden(f"{path}.mountPropagation", text))
    at = f"{path}.recursiveReadOnly"
    if recursive not in (None, "Disabled", "Enabled", "IfPossible"):
        found.append(fields.not_supported(at, recursive, ("Disabled", "Enabled", "IfPossible")))
    elif recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            found.append(fields.forbidden(at, "may only be specified when readOnly is true"))
        if propagation not in (None, "None"):
            found.append(fields.forbidden(at, "may only be specified when mountPropagation is None or not specified"))
    return found


def _devices(container: Obj, path: str, volumes: Volumes) -> list[FieldError]:
    found: list[FieldError] = []
    for i, device in enumerate(container.get("volumeDevices") or ()):
        at, name, target = f"{path}[{i}]", device.get("name", ""), device.get("devicePath", "")
        if name not in volumes:
            found.append(fields.not_found(f"{at}.name", name))
        elif not {"persistentVolumeClaim", "ephemeral"} & volumes[name].keys():
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            found.append(fields.invalid(f"{at}.name", name, text))
        if not target:
            found.append(fields.required(f"{at}.devicePath"))
        elif ".." in target.split("/"):
            found.append(fields.invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
    return found
