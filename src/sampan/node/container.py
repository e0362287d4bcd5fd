"""From a container's manifest to the runtime's ContainerSpec: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.api.quantity import Quantity
from sampan.images.types import DEFAULT_PATH, ImageConfig
from sampan.images.users import NOBODY, home, primary_group
from sampan.node import env as environment
from sampan.node.fields import ConfigError
from sampan.node.runtime.types import ContainerSpec, Mount, Resources

TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True)
class User:
    """Who a container runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def container_spec(
    pod: Obj,
    container: Obj,
    attempt: int,
    *,
    image: ImageConfig,
    env: Mapping[str, str],
    mounts: Sequence[Mount],
    hostname: str,
    directory: Path,
) -> ContainerSpec:
    """`env` is what the manifest asks for, `directory` the pod's. Raises ConfigError."""
    security = container.get("securityContext") or {}
    capabilities = security.get("capabilities") or {}
    user = run_as(pod, container, image)
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": home(user.uid), **dict(image.env), **env}
    if container.get("tty"):
        variables.setdefault("TERM", "xterm")
    argv = environment.command(container, image.entrypoint, image.cmd, env)
    if not argv:
        raise ConfigError("no command specified")
    privileged = bool(security.get("privileged"))
    return ContainerSpec(
        name=container["name"],
        attempt=attempt,
        argv=argv,
        env=tuple(variables.items()),
        cwd=container.get("workingDir") or image.workdir or "/",
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        mounts=tuple(mounts),
        resources=resources(container),
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        share_with=container.get("targetContainerName") or "",
        privileged=privileged,
        add_capabilities=tuple(c.removeprefix("CAP_") for c in capabilities.get("add") or ()),
        drop_capabilities=tuple(c.removeprefix("CAP_") for c in capabilities.get("drop") or ()),
        no_new_privileges=security.get("allowPrivilegeEscalation") is False and not privileged,
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
        log_path=str(log_path(directory, container["name"], attempt)),
        termination_log=str(termination_log(directory, container["name"], attempt)),
    )


def log_path(directory: Path, name: str, attempt: int) -> Path:
    """Where an attempt's log is (CRI format; rotated ones beside it)."""
    return directory / "logs" / name / f"{attempt}.log"


def termination_log(directory: Path, name: str, attempt: int) -> Path:
    """The file mounted at terminationMessagePath."""
    return directory / "termination" / f"{name}-{attempt}"


def run_as(pod: Obj, container: Obj, image: ImageConfig) -> User:
    """The container's securityContext over the pod's over the image's USER. Raises ConfigError for runAsNonRoot.

    An image without a user of its own runs as nobody, but as root, as in Kubernetes, where the pod asks for power over
    the machine anyway: privileged, or among its processes (`kubectl debug node/…`).
    """
    pod_wide = pod["spec"].get("securityContext") or {}
    merged = pod_wide | (container.get("securityContext") or {})
    powerful = (merged.get("privileged") or pod["spec"].get("hostPID")) and not merged.get("runAsNonRoot")
    user = "0:0" if powerful and image.user == NOBODY else image.user
    image_uid, _, image_gid = user.partition(":")
    uid = merged.get("runAsUser")
    gid = merged.get("runAsGroup")
    if merged.get("runAsNonRoot") and int(image_uid if uid is None else uid) == 0:
        who = f'(pod: "{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})", container: {container["name"]})'
        if uid is None:
            raise ConfigError(f"container has runAsNonRoot and image will run as root {who}")
        raise ConfigError(f"container's runAsUser breaks non-root policy {who}")
    if gid is None:
        gid = int(image_gid) if uid is None and image_gid else primary_group(int(image_uid if uid is None else uid))
    groups = [int(g) for g in pod_wide.get("supplementalGroups") or ()]
    if pod_wide.get("fsGroup") is not None:
        groups.append(int(pod_wide["fsGroup"]))
    return User(int(image_uid if uid is None else uid), int(gid), tuple(dict.fromkeys(groups)))


def resources(container: Obj) -> Resources:
    """Requests and limits of one container; a limit alone is also the request."""
    found = container.get("resources") or {}
    limits = found.get("limits") or {}
    requests = limits | (found.get("requests") or {})
    return Resources(
        cpu_request=_cores(requests.get("cpu")),
        cpu_limit=_cores(limits.get("cpu")),
        memory_limit=Quantity.parse(limits["memory"]).value if "memory" in limits else 0,
    )


def pod_resources(pod: Obj) -> Resources:
    """The pod's cgroup: the sum of its containers; no limit when one of them has none."""
    every = [resources(c) for c in pod["spec"]["containers"]]
    cpu = [r.cpu_limit for r in every]
    memory = [r.memory_limit for r in every]
    return Resources(
        cpu_request=sum(r.cpu_request for r in every),
        cpu_limit=sum(cpu) if all(cpu) else 0.0,
        memory_limit=sum(memory) if all(memory) else 0,
    )


def _cores(text: str | None) -> float:
    return Quantity.parse(text).milli / 1000 if text is not None else 0.0
