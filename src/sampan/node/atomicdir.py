"""A directory whose files all change in one step.

    key -> ..data/key        ..data -> ..2026_11_20_12_00_00.123456        ..2026_…/key

Programs that watch `..data` (as they do on Kubernetes) see each change once and never a mixture.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

DATA = "..data"


class File(NamedTuple):
    """Content and permission bits."""

    content: bytes
    mode: int


def write(directory: Path, files: Mapping[str, File], now: datetime, group: int | None = None) -> bool:
    """Make `directory` hold exactly `files` (relative paths) of this group (fsGroup); False when it did already."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    current = directory / DATA
    files = {path: File(file.content, _mode(file.mode, group)) for path, file in files.items()}
    if current.is_symlink() and _read(current) == files:
        return False
    version = directory / f"..{now:%Y_%m_%d_%H_%M_%S.%f}"
    shutil.rmtree(version, ignore_errors=True)
    version.mkdir(mode=0o755)
    for path, file in files.items():
        _write(version, path, file, group)
    before = os.readlink(current) if current.is_symlink() else ""
    temporary = directory / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version.name)
    temporary.replace(current)
    _link(directory, {path.split("/")[0] for path in files})
    if before and before != version.name:
        shutil.rmtree(directory / before, ignore_errors=True)
    return True


def _write(version: Path, path: str, file: File, group: int | None) -> None:
    place = version / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(file.content)
    if group is not None:
        os.chown(place, -1, group)
    place.chmod(file.mode)


def _mode(mode: int, group: int | None) -> int:
    """With an fsGroup its members may read (and run) what the owner may."""
    return mode if group is None else mode | 0o440 | ((mode & 0o100) >> 3)


def _link(directory: Path, names: set[str]) -> None:
    for entry in os.listdir(directory):
        if not entry.startswith("..") and entry not in names:
            (directory / entry).unlink()
    for name in names:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"{DATA}/{name}")


def _read(current: Path) -> dict[str, File]:
    found = {}
    for root, _, names in os.walk(current, followlinks=False):
        for name in names:
            place = Path(root, name)
            found[str(place.relative_to(current))] = File(place.read_bytes(), place.stat().st_mode & 0o7777)
    return found
