"""`sampan image`: what `image:` names mean on this machine."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sampan.app.config import state_root
from sampan.base.errors import UserError
from sampan.cli.options import StateDir
from sampan.images.aliases import DEFAULTS, machine_images
from sampan.images.registry import Registry

app = typer.Typer(help="What `image:` names mean on this machine.", no_args_is_help=True)


@app.command("register", context_settings={"ignore_unknown_options": True})
def register(
    name: Annotated[str, typer.Argument(help="Image name as the manifests have it, with or without a tag.")],
    command: Annotated[list[str], typer.Argument(help="Command to run; put -- before it.")],
    workdir: Annotated[Path, typer.Option(help="Directory to run it in.")] = Path("."),
    env: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; may be given several times.")] = None,
    user: Annotated[
        str, typer.Option(help="NAME, UID or UID:GID \\[default: the person behind sudo, else the directory's owner]")
    ] = "",
    state: StateDir = None,
) -> None:
    """Make NAME mean: run COMMAND of this machine in a directory."""
    registry = _registry(state)
    with _root_needed():
        config = registry.register(name, command, workdir=workdir, env=_pairs(env or []), user=user)
    print(f"image {config.name} registered: {' '.join(config.entrypoint)} in {config.workdir} as {config.user}")
    uid, _, gid = config.user.partition(":")
    if closed := closed_to(Path(config.workdir), int(uid), int(gid or uid)):
        print(f"warning: user {uid} may not enter {closed}: pods of this image will not start", file=sys.stderr)
        print(f"hint:  chmod o+x {closed}   or register with --user root", file=sys.stderr)


@app.command("alias")
def alias(
    pattern: Annotated[
        str, typer.Argument(help="PATTERN=TARGET: image names that match the glob PATTERN mean TARGET.")
    ],
    state: StateDir = None,
) -> None:
    """Make image names mean the host's own shell and tools (PATTERN=host), or another image."""
    registry = _registry(state)
    left, _, target = pattern.partition("=")
    with _root_needed():
        registry.alias(left, target)
    print(f"images like {left} mean {target}")


@app.command("ls")
def ls(state: StateDir = None) -> None:
    """List registered programs and aliases."""
    registry = _registry(state)
    rows = [("NAME", "RUNS", "AS")]
    rows += [(c.name, f"{' '.join((*c.entrypoint, *c.cmd))}  (in {c.workdir})", c.user) for c in registry.programs()]
    rows += [(p, f"alias of {t}", "") for p, t in registry.aliases().items()]
    rows += [(p, "alias of host (built in)", "") for p in DEFAULTS]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for row in rows:
        print(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip())


@app.command("inspect")
def inspect(name: str, state: StateDir = None) -> None:
    """Show what an image name means, as JSON."""
    print(json.dumps(asdict(machine_images(state_root(state) / "images").resolve(name)), indent=2))


@app.command("rm")
def rm(name: str, state: StateDir = None) -> None:
    """Forget a registered program or an alias."""
    registry = _registry(state)
    with _root_needed():
        registry.remove(name)
    print(f"image {name} removed")


def closed_to(directory: Path, uid: int, gid: int) -> Path | None:
    """The first directory on the way to `directory` that this user may not enter, None when the way is open."""
    for place in (*reversed(directory.parents), directory):
        found = place.stat()
        bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid == gid else 0o001
        if uid and not found.st_mode & bit:
            return place
    return None


def _registry(state: Path | None) -> Registry:
    return Registry(state_root(state) / "images")


def _pairs(given: list[str]) -> dict[str, str]:
    for pair in given:
        if "=" not in pair:
            raise UserError(f'"{pair}" is not KEY=VALUE', "--env KEY=VALUE")
    return dict(pair.split("=", 1) for pair in given)


class _root_needed:
    """Turns "permission denied" on the state directory into what to type."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PermissionError):
            raise UserError(f"{error.filename} cannot be written by uid {os.getuid()}", "sudo sampan image …") from None
