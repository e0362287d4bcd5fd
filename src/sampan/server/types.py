"""What the rooms of the server hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from sampan.api.meta import Obj


class Held:
    """An object with its bytes: encoded once at its commit, decoded once when somebody needs the fields.

    Both carry metadata.resourceVersion and both are read-only. metadata.managedFields, half of many objects, is in the
    bytes only: `obj` is without it, `managed` is its JSON. `span`: where in the bytes that stands, when it is known.
    """

    __slots__ = ("_obj", "_span", "bytes")

    def __init__(self, data: bytes, obj: Obj | None = None, span: tuple[int, int] | None = None) -> None:
        self.bytes = data
        self._obj = obj
        self._span = span

    @property
    def obj(self) -> Obj:
        if self._obj is None:
            self._obj = orjson.loads(self.bytes)
            self._obj["metadata"].pop("managedFields", None)
        return self._obj

    @property
    def managed(self) -> bytes:
        """The list of owners as JSON, b"" without any."""
        if self._span is None:
            found = orjson.loads(self.bytes)["metadata"].get("managedFields")
            return orjson.dumps(found, option=orjson.OPT_SORT_KEYS) if found else b""
        start, end = self._span
        return self.bytes[start:end]

    @property
    def owners(self) -> list[Obj]:
        """metadata.managedFields."""
        managed = self.managed
        return orjson.loads(managed) if managed else []


class Bulky(Held):
    """Of an object so large that its decoded form is not kept: every look at `obj` decodes it again."""

    __slots__ = ()

    def __init__(self, data: bytes, obj: Obj | None = None, span: tuple[int, int] | None = None) -> None:
        super().__init__(data, None, span)

    @property
    def obj(self) -> Obj:
        found: Obj = orjson.loads(self.bytes)
        found["metadata"].pop("managedFields", None)
        return found


@dataclass(frozen=True, slots=True)
class User:
    """Who asks (authentication.k8s.io UserInfo)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def info(self) -> Obj:
        """As UserInfo in JSON."""
        found: Obj = {"username": self.name}
        if self.uid:
            found["uid"] = self.uid
        if self.groups:
            found["groups"] = list(self.groups)
        if self.extra:
            found["extra"] = {key: list(values) for key, values in self.extra}
        return found


# Who writes from inside the server: bootstrap, controllers.
SYSTEM = User("system:apiserver", ("system:masters", "system:authenticated"))


@dataclass(slots=True)
class Options:
    """How to write. `validation` is Strict, Warn or Ignore for input from outside, "" for trusted callers.

    `warnings` collects the texts for `Warning:` headers. `user` is who asked, `manager` the field manager.
    `applies`: the object comes with its owners settled (server-side apply), `force`: an apply takes others' fields.
    """

    dry_run: bool = False
    validation: str = ""
    manager: str = "kube-controller-manager"
    applies: bool = False
    force: bool = False
    user: User = SYSTEM
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Deletion:
    """metav1.DeleteOptions. `propagation` is Background, Foreground, Orphan or "" (the resource's default)."""

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False
    user: User = SYSTEM


@dataclass(frozen=True, slots=True)
class Listing:
    """A list at one revision. `next` is the continue token ("" at the end)."""

    items: list[Held]
    revision: str
    next: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete did: `held` is the object as it was last, or as it is now when it is only marked (`gone` False)."""

    held: Held
    gone: bool
