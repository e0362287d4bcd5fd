"""STATE/images/images.json: registered programs and aliases.

    {"programs": {"NAME[:TAG]": {entrypoint, cmd, env, workdir, user}}, "aliases": {"PATTERN": "TARGET"}}

Written by the CLI (several at once: a file lock), read by every agent (the file is read again only when it changed).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from sampan.base.errors import UserError
from sampan.base.fs import write_atomic
from sampan.images import names, users
from sampan.images.types import ImageConfig

Data = dict[str, Any]


class Registry:
    """The file and its lock. `directory` is STATE/images; nothing is made before the first write."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "images.json"
        self._stamp: tuple[int, int] | None = None
        self._data: Data = {"programs": {}, "aliases": {}}

    def read(self) -> Data:
        """The present content; read-only. Raises UserError when the file is damaged."""
        stamp = self.version()
        if stamp != self._stamp:
            self._data = _load(self.path)
            self._stamp = stamp
        return self._data

    def version(self) -> tuple[int, int]:
        """Changes when the file does: what to compare to know whether to try again."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def register(
        self,
        name: str,
        command: Sequence[str],
        *,
        workdir: Path,
        env: Mapping[str, str] | None = None,
        cmd: Sequence[str] = (),
        user: str = "",
        environ: Mapping[str, str] = os.environ,
    ) -> ImageConfig:
        """Make `name` mean "run `command` in `workdir`"; an older meaning is replaced.

        PATH is taken from `environ` (the caller's shell) unless `env` has one, so the program finds what its user
        finds. `user` is NAME, UID or UID:GID. Raises UserError.
        """
        parsed = names.parse(name)
        workdir = workdir.absolute()
        if not workdir.is_dir():
            raise UserError(f"the working directory {workdir} does not exist", "--workdir DIR")
        if not command and not cmd:
            raise UserError("nothing to run", f"sampan image register {name} --workdir {workdir} -- COMMAND")
        path = {"PATH": environ["PATH"]} if environ.get("PATH") else {}
        program = {
            "entrypoint": list(command),
            "cmd": list(cmd),
            "env": path | dict(env or {}),
            "workdir": str(workdir),
            "user": users.parse_user(user) if user else users.default_user(workdir, environ),
        }
        with self._changed() as data:
            data["programs"][str(parsed)] = program
        return _config(str(parsed), program)

    def alias(self, pattern: str, target: str) -> None:
        """Make image names that match the glob `pattern` mean `target`: another image's name, or `host`."""
        if not pattern or not target:
            raise UserError("an alias needs a pattern and a target", "sampan image alias 'PATTERN=host'")
        with self._changed() as data:
            data["aliases"].pop(pattern, None)  # the newest comes last, and the last match wins
            data["aliases"][pattern] = target

    def remove(self, name: str) -> None:
        """Forget a program or an alias pattern. Raises UserError when there is none."""
        with self._changed() as data:
            if data["aliases"].pop(name, None) is None and data["programs"].pop(_program_key(name), None) is None:
                raise UserError(f'no image "{name}" is registered', "sampan image ls")

    def programs(self) -> list[ImageConfig]:
        """All registered programs by name."""
        return [_config(name, program) for name, program in sorted(self.read()["programs"].items())]

    def aliases(self) -> dict[str, str]:
        """Pattern → target, oldest first."""
        found: dict[str, str] = self.read()["aliases"]
        return found

    def find(self, name: str) -> ImageConfig | None:
        """Exactly NAME:TAG, else NAME registered without a tag (which stands for every tag)."""
        parsed = names.parse(name)
        programs = self.read()["programs"]
        for key in (str(parsed), parsed.repository, f"{parsed.repository}:latest" if not parsed.tag else ""):
            if key in programs:
                return _config(key, programs[key])
        return None

    @contextmanager
    def _changed(self) -> Iterator[Data]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = _load(self.path)
            yield data
            write_atomic(self.path, orjson.dumps(data, option=orjson.OPT_INDENT_2))
        finally:
            os.close(lock)


def _load(path: Path) -> Data:
    try:
        data = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        data = {}
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}", f"mend or remove {path}") from None
    return {"programs": data.get("programs", {}), "aliases": data.get("aliases", {})}


def _program_key(name: str) -> str:
    try:
        return str(names.parse(name))
    except names.InvalidImageName:
        return name


def _config(name: str, program: Data) -> ImageConfig:
    digest = hashlib.sha256(orjson.dumps([name, program], option=orjson.OPT_SORT_KEYS)).hexdigest()
    return ImageConfig(
        name=name,
        id=f"sha256:{digest}",
        source=f"registered program in {program['workdir']}",
        entrypoint=tuple(program["entrypoint"]),
        cmd=tuple(program["cmd"]),
        env=tuple(program["env"].items()),
        workdir=program["workdir"],
        user=program["user"],
    )
