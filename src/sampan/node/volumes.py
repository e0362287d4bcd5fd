"""A pod's volumes: directories of the host that are bound into its containers.

Content volumes are rewritten when what they show changes. A medium Memory emptyDir lives in a directory on the
machine's own tmpfs, so there is no mount to leave behind and it is empty after a reboot, as it should be.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.node import atomicdir
from sampan.node.claims import CLAIM_TYPES
from sampan.node.env import Context, expand
from sampan.node.fields import ConfigError
from sampan.node.runtime.types import Mount
from sampan.node.volume_content import CONTENT_TYPES, volume_files

# hostPath type → (test, its name in the error)
_HOST_TYPES = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class Volumes:
    """The volumes of one pod. `directory` is the pod's, `memory` a directory on tmpfs for it."""

    def __init__(self, directory: Path, memory: Path) -> None:
        self._directory = directory / "volumes"
        self._claims = self._directory / "claims"
        self._memory = memory

    def make(self, pod: Obj, context: Context, now: datetime, claimed: Mapping[str, Obj]) -> None:
        """Make every volume, or bring content volumes up to date. Raises ConfigError with the kubelet's text.

        `claimed`: the hostPath sources that claims stand for, by volume name.
        """
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        for volume in pod["spec"].get("volumes") or ():
            try:
                if volume["name"] in claimed:
                    self._link(volume["name"], claimed[volume["name"]])
                else:
                    self._make(volume, context, now, group)
            except (ConfigError, OSError) as error:
                raise ConfigError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from None

    def refresh(self, pod: Obj, context: Context, now: datetime) -> None:
        """Bring content volumes up to date; one whose object vanished keeps what it has."""
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        for volume in pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in CONTENT_TYPES):
                try:
                    self._make(volume, context, now, group)
                except ConfigError:
                    continue

    def remove(self) -> None:
        """Remove what is in memory; the rest goes with the pod's directory."""
        shutil.rmtree(self._memory, ignore_errors=True)

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> list[Mount]:
        """The container's volumeMounts as bind mounts. Raises ConfigError."""
        volumes = {v["name"]: v for v in pod["spec"].get("volumes") or ()}
        found = []
        for mount in container.get("volumeMounts") or ():
            volume = volumes.get(mount["name"])
            if volume is None:
                raise ConfigError(f'volumeMounts name "{mount["name"]}" is not a volume of the pod')
            source = self._path(volume)
            sub = expand(mount["subPathExpr"], env) if mount.get("subPathExpr") else mount.get("subPath") or ""
            if sub:
                source = _sub_path(source, sub, f'volumeMount "{mount["name"]}" of container "{container["name"]}"')
            content = any(kind in volume for kind in CONTENT_TYPES)
            propagation = mount.get("mountPropagation") or ""
            frozen = content or bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
            read_only = bool(mount.get("readOnly")) or frozen
            found.append(
                Mount(str(source), mount["mountPath"], read_only, "" if propagation == "None" else propagation)
            )
        return found

    def _path(self, volume: Obj) -> Path:
        if "hostPath" in volume:
            return Path(str(volume["hostPath"]["path"]))
        if any(kind in volume for kind in CLAIM_TYPES):
            return (self._claims / str(volume["name"])).readlink()
        if (volume.get("emptyDir") or {}).get("medium") == "Memory":
            return self._memory / str(volume["name"])
        kind = next((k for k in (*CONTENT_TYPES, "emptyDir") if k in volume), "emptyDir")
        return self._directory / kind / str(volume["name"])

    def _link(self, name: str, source: Obj) -> None:
        """Where a claim's data is, remembered as a link: a container that starts again asks nobody."""
        _host_path(Path(source["path"]), source.get("type") or "")
        link = self._claims / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source["path"])

    def _make(self, volume: Obj, context: Context, now: datetime, group: int | None) -> None:
        place = self._path(volume)
        if "hostPath" in volume:
            _host_path(place, volume["hostPath"].get("type") or "")
        elif any(kind in volume for kind in CONTENT_TYPES):
            atomicdir.write(place, volume_files(volume, context), now, group)
        elif "emptyDir" in volume or len(volume) == 1:
            if not place.exists():
                place.mkdir(parents=True)
                place.chmod(0o777)
                if group is not None:
                    os.chown(place, -1, group)
                    place.chmod(0o2777)
        else:
            kind = next(k for k in volume if k != "name")
            raise ConfigError(f"volumes of type {kind} are not supported on this node ({meta.name(context.pod)})")


def _host_path(path: Path, kind: str) -> None:
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if kind:
        test, name = _HOST_TYPES[kind]
        if not path.exists() or not test(path.stat().st_mode):
            raise ConfigError(f"hostPath type check failed: {path} is not {name}")
    elif not path.exists():
        path.mkdir(parents=True, mode=0o755)  # as container runtimes do for a missing source


def _sub_path(volume: Path, sub: str, where: str) -> Path:
    """The place inside the volume, made if missing; symbolic links must not lead out of the volume."""
    if sub.startswith("/") or ".." in sub.split("/"):
        raise ConfigError(f"failed to prepare subPath for {where}: {sub} must be relative and stay inside")
    root = volume.resolve()
    place = (volume / sub).resolve()
    if place != root and root not in place.parents:
        raise ConfigError(f"failed to prepare subPath for {where}: {sub} leads out of the volume")
    if not place.exists():
        mode = stat.S_IMODE(root.stat().st_mode)
        place.mkdir(parents=True)
        place.chmod(mode)
    return place
