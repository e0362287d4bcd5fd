"""The scheme: one row a resource. Adding a kind is one file in `kinds/` and one row in `kinds/__init__.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sampan.api.meta import Obj
from sampan.api.scale import Paths
from sampan.api.status import FieldError


@dataclass(frozen=True)
class Column:
    """A column of a server-side Table. `priority` 1 columns appear with -o wide only."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Strategy:
    """All that the server does for one kind (the strategy of kubernetes/pkg/registry/<group>/<kind>).

    All functions are pure. `default`, `prepare_create`, `prepare_update` change the object they are given in place
    (it is the caller's own copy); `validate*` return every fault found; `row` gives the Table cells in column order.
    """

    columns: tuple[Column, ...]
    row: Callable[[Obj, datetime], list[Any]]
    default: Callable[[Obj], None] = lambda obj: None
    prepare_create: Callable[[Obj], None] = lambda obj: None
    prepare_update: Callable[[Obj, Obj], None] = lambda new, old: None
    # The object as it becomes when its deletion is asked for.
    on_delete: Callable[[Obj], Obj] = lambda obj: obj
    validate: Callable[[Obj], list[FieldError]] = lambda obj: []
    validate_update: Callable[[Obj, Obj], list[FieldError]] = lambda new, old: []
    validate_status: Callable[[Obj, Obj], list[FieldError]] = lambda new, old: []
    validate_ephemeral: Callable[[Obj, Obj], list[FieldError]] = lambda new, old: []
    # Text for a `Warning:` header of every request to this resource ("" none).
    deprecated: str = ""
    warnings: Callable[[Obj], list[str]] = lambda obj: []
    # Does a delete that names no propagation policy leave the dependents? The oldest kinds of controllers do.
    orphans: bool = False


VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One row of the scheme.

    `definition` names the schema in kubernetes-validate's definitions. `fields` are the selectable fields beyond
    metadata.name and metadata.namespace. `generation`: does a change of spec raise metadata.generation?
    """

    group: str
    version: str
    kind: str
    plural: str
    definition: str
    strategy: Strategy
    singular: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    fields: Mapping[str, Callable[[Obj], str]] = field(default_factory=dict)
    generation: bool = False
    # Questions (SubjectAccessReview, …) are only created: answered at once and never stored.
    verbs: tuple[str, ...] = VERBS
    # Computed when asked for, never stored (metrics).
    computed: bool = False
    # The OpenAPI schema of a custom resource, which has no definition.
    schema: Mapping[str, Any] | None = None
    # Cleans a decoded custom resource in place and returns the paths of its unknown fields; None: by the definition.
    clean: Callable[[Obj], list[str]] | None = None
    # Where a custom resource keeps what its Scale shows; None: where workloads do.
    scale: Paths | None = None
    # Objects are kept in one version; the others are converted on their way in and out.
    storage: bool = True
    # Another text when the schema may be another one (for the hashes of documents).
    fingerprint: str = ""
    # What the versions of a custom resource share (`api.crd.resource.Family`).
    family: Any = None
    # Objects so large that their decoded form is not kept in memory.
    bulky: bool = False
    # Whose objects this resource shows in a form of its own.
    view: View | None = None

    @property
    def stored(self) -> bool:
        return "list" in self.verbs and not self.computed

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def id(self) -> str:
        """The name clients use: "pods", "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def ref(self) -> str:
        """What the registry knows this version by: its id, or one that is not kept "widgets.v1beta1.example.com"."""
        return self.id if self.storage else f"{self.plural}.{self.version}.{self.group}"

    @property
    def status(self) -> bool:
        return "status" in self.subresources


@dataclass(frozen=True)
class View:
    """`of` keeps the objects; `show` and `keep` translate one from and to its form (they do not change theirs)."""

    of: Resource
    show: Callable[[Obj], Obj]
    keep: Callable[[Obj], Obj]


class Scheme:
    """The table of resources, looked up by id, by (group, version, plural) and by (apiVersion, kind).

    Custom resources come and go (`serve`): the tables are made anew then, never changed, so whoever holds one reads one
    state of the world; `generation` counts them, and the functions in `changed` are called after each.
    """

    def __init__(self, resources: tuple[Resource, ...]) -> None:
        self._fixed = resources
        self.custom: tuple[Resource, ...] = ()
        self.changed: list[Callable[[], None]] = []
        self.generation = 0
        self._index()

    def live(self) -> Scheme:
        """A scheme of its own for a server, whose custom resources nobody else sees."""
        return Scheme(self._fixed)

    def serve(self, custom: tuple[Resource, ...]) -> None:
        """Serve these custom resources, in place of those before."""
        self.custom = custom
        self.generation += 1
        self._index()
        for tell in self.changed:
            tell()

    def _index(self) -> None:
        self.resources = (*self._fixed, *self.custom)
        self.by_id = {r.id: r for r in self.resources if r.storage}
        self.by_path = {(r.group, r.version, r.plural): r for r in self.resources}
        self.by_kind = {(r.api_version, r.kind): r for r in self.resources}
