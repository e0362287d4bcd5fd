"""The cluster's kubeconfig, and its context in the user's own one.

Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import os
import pwd
from pathlib import Path
from typing import Any

import yaml

from sampan.app.config import Cluster
from sampan.base import fs
from sampan.base.errors import UserError

Config = dict[str, Any]


def context_name(cluster: str) -> str:
    return f"sampan-{cluster}"


def build(cluster: Cluster) -> Config:
    """A kubeconfig with embedded certificates: clients other than kubectl want the CA and a client certificate."""
    name = context_name(cluster.name)

    def data(file: str) -> str:
        return base64.b64encode((cluster.pki / file).read_bytes()).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": cluster.url, "certificate-authority-data": data("ca.crt")}},
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": data("admin.crt"),
                    "client-key-data": data("admin.key"),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def write(cluster: Cluster) -> None:
    """Write the cluster's own kubeconfig, 0600, owned by the user behind sudo."""
    fs.write_atomic(cluster.kubeconfig, _dump(build(cluster)), 0o600)
    _give_to_user(cluster.kubeconfig)


def user_config() -> Path:
    """The file kubectl of the person at the terminal reads: $KUBECONFIG's first, else ~/.kube/config."""
    given = [name for name in os.environ.get("KUBECONFIG", "").split(":") if name]
    if given:
        return Path(given[0])
    return Path(_user().pw_dir) / ".kube" / "config"


def merge(cluster: Cluster, path: Path) -> None:
    """Put the cluster's context into `path` and make it the current one. Everything else there is kept."""
    ours, theirs = build(cluster), _load(path)
    for section in ("clusters", "users", "contexts"):
        entry = ours[section][0]
        kept = [e for e in _entries(theirs, section) if e.get("name") != entry["name"]]
        theirs[section] = [*kept, entry]
    theirs["current-context"] = ours["current-context"]
    if not path.parent.exists():
        path.parent.mkdir(parents=True, mode=0o700)
        _give_to_user(path.parent)
    _save(path, {"apiVersion": "v1", "kind": "Config"} | theirs)


def unmerge(cluster: Cluster, path: Path) -> None:
    """Take the cluster's context out of `path` again. Silent when it is not there.

    A cluster of the same name in another state directory has another certificate: its context stays.
    """
    ours = build(cluster)["clusters"][0]
    name = ours["name"]
    theirs = _load(path) if path.exists() else {}
    if ours["cluster"] not in [e.get("cluster") for e in _entries(theirs, "clusters") if e.get("name") == name]:
        return
    for section in ("clusters", "users", "contexts"):
        theirs[section] = [e for e in _entries(theirs, section) if e.get("name") != name]
    if theirs.get("current-context") == name:
        theirs["current-context"] = ""
    _save(path, theirs)


def _load(path: Path) -> Config:
    try:
        found = yaml.safe_load(path.read_text()) if path.exists() else {}
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}", "sampan up --no-kubeconfig-merge") from None
    if found is not None and not isinstance(found, dict):
        raise UserError(f"{path} is not a kubeconfig", "sampan up --no-kubeconfig-merge")
    return found or {}


def _entries(config: Config, section: str) -> list[Config]:
    """Raises UserError for a file that only looks like a kubeconfig."""
    found = config.get(section) or []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UserError(f"the kubeconfig has no list of {section}", "sampan up --no-kubeconfig-merge")
    return found


def _save(path: Path, config: Config) -> None:
    """Write through a symbolic link, not over it; the file stays its owner's. Raises UserError."""
    path = path.resolve()
    try:
        before = path.stat() if path.exists() else None
        fs.write_atomic(path, _dump(config), 0o600)
        if before is not None:
            os.chown(path, before.st_uid, before.st_gid)
        else:
            _give_to_user(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}", "sampan up --no-kubeconfig-merge") from None


def _dump(config: Config) -> bytes:
    return yaml.safe_dump(config, sort_keys=False).encode()


def _user() -> pwd.struct_passwd:
    """The person at the terminal: behind sudo that is not root."""
    return pwd.getpwuid(int(os.environ.get("SUDO_UID") or os.getuid()))


def _give_to_user(path: Path) -> None:
    user = _user()
    if user.pw_uid != os.getuid():
        os.chown(path, user.pw_uid, user.pw_gid)
