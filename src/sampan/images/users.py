"""Whom a registered program runs as: never root of this machine unless asked."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from sampan.base.errors import UserError

NOBODY = "65534:65534"


def default_user(workdir: Path, environ: Mapping[str, str]) -> str:
    """The person behind sudo, else the working directory's owner, else nobody."""
    if (uid := environ.get("SUDO_UID", "0")) not in ("", "0"):
        return f"{uid}:{environ.get('SUDO_GID') or uid}"
    try:
        found = os.stat(workdir)
    except OSError:
        return NOBODY
    return f"{found.st_uid}:{found.st_gid}" if found.st_uid else NOBODY


def parse_user(text: str) -> str:
    """ "UID:GID" of a USER as an image has it: NAME, UID or UID:GID. Raises UserError for an unknown name."""
    user, _, group = text.partition(":")
    if user.isdigit():
        return f"{user}:{group if group.isdigit() else primary_group(int(user))}"
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UserError(f"this machine has no user {user}", "give --user UID[:GID] or a name of /etc/passwd") from None
    return f"{entry.pw_uid}:{group if group.isdigit() else entry.pw_gid}"


def primary_group(uid: int) -> int:
    """The user's group in /etc/passwd; an unknown uid gets its own number.

    Container runtimes take group 0 then; here the files below are the machine's own, so group root would be a gift.
    """
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def home(uid: int) -> str:
    """The user's home directory in /etc/passwd, "/" when there is none (nobody's does not exist)."""
    try:
        place = pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"
    return place if os.path.isdir(place) else "/"
