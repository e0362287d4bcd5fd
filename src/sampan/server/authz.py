"""Who may do what: role-based access control over the roles and bindings of the store.

An index (who → what was granted) is made anew when a role or a binding was written, and answers are kept, so that a
request costs two lookups. Members of system:masters may everything; nodes what `default_roles.NODE` says.
Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sampan.api.fields import quote
from sampan.api.meta import Obj
from sampan.api.rbac import GROUP, Ask, Rule
from sampan.api.scheme import Resource
from sampan.api.status import ApiError, forbidden
from sampan.server import default_roles
from sampan.server.reader import Reader
from sampan.server.types import User

MASTERS, NODES = "system:masters", "system:nodes"
ROLES, CLUSTER_ROLES = f"roles.{GROUP}", f"clusterroles.{GROUP}"
BINDINGS, CLUSTER_BINDINGS = f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}"
_KEPT = 8_192  # answers; then all are forgotten

_NODE_RULES = tuple(map(Rule, default_roles.rules(default_roles.NODE)))


@dataclass(slots=True)
class Grant:
    """What one binding gives to one subject. `broken` names the role when it does not exist."""

    why: str
    rules: list[Obj]
    quick: tuple[Rule, ...]
    broken: str = ""


@dataclass(slots=True)
class _Index:
    """Subjects are "User:NAME" and "Group:NAME"; `local` by namespace."""

    everywhere: dict[str, list[Grant]] = field(default_factory=dict)
    local: dict[str, dict[str, list[Grant]]] = field(default_factory=dict)


class Authorizer:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sources = [reader.binding(r) for r in (ROLES, CLUSTER_ROLES, BINDINGS, CLUSTER_BINDINGS)]
        self._seen = -1
        self._index = _Index()
        self._answers: dict[tuple[str, tuple[str, ...], Ask], tuple[bool, str]] = {}

    # -- answers

    def decide(self, user: User, ask: Ask) -> tuple[bool, str]:
        """May they? And why, or why not."""
        if MASTERS in user.groups:
            return True, ""
        if NODES in user.groups and any(rule.allows(ask) for rule in _NODE_RULES):
            return True, ""
        self._refresh()
        key = (user.name, user.groups, ask)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= _KEPT:
                self._answers.clear()
            answer = self._answers[key] = self._decide(user, ask)
        return answer

    def allows(self, user: User, ask: Ask) -> bool:
        return self.decide(user, ask)[0]

    def check(self, user: User, ask: Ask) -> None:
        """Raises ApiError 403, in the words kubectl users know."""
        allowed, why = self.decide(user, ask)
        if not allowed:
            raise refusal(user, ask, why)

    def check_resource(
        self, user: User, verb: str, resource: Resource, subresource: str, namespace: str, name: str
    ) -> None:
        """Raises ApiError 403."""
        if MASTERS in user.groups:
            return
        what = f"{resource.plural}/{subresource}" if subresource else resource.plural
        # A namespace is in itself: who may all in it may read it.
        where = name if resource.id == "namespaces" else namespace
        self.check(user, Ask(verb, resource.group, what, where, name))

    def rules(self, user: User, namespace: str) -> tuple[list[Obj], list[str]]:
        """All PolicyRules somebody has in a namespace, and the roles that are missing."""
        self._refresh()
        found: list[Obj] = []
        missing = []
        for grant in self._grants(user, namespace):
            found += (rule for rule in grant.rules if rule not in found)
            if grant.broken:
                missing.append(grant.broken)
        if NODES in user.groups:
            found += default_roles.rules(default_roles.NODE)
        return found, missing

    def role_rules(self, role: Obj, namespace: str) -> list[Obj] | None:
        """The rules that a roleRef means, None when there is no such role."""
        local = role["kind"] == "Role"
        obj = self._reader.lookup(ROLES if local else CLUSTER_ROLES, role["name"], namespace if local else "")
        return None if obj is None else list(obj.get("rules") or ())

    def _decide(self, user: User, ask: Ask) -> tuple[bool, str]:
        missing = []
        for grant in self._grants(user, ask.namespace):
            if any(rule.allows(ask) for rule in grant.quick):
                return True, f"RBAC: allowed by {grant.why}"
            if grant.broken:
                missing.append(grant.broken)
        texts = [f"{role} not found" for role in dict.fromkeys(missing)]
        shown = f"[{', '.join(texts)}]" if len(texts) > 1 else "".join(texts)
        return False, f"RBAC: {shown}" if shown else ""

    def _grants(self, user: User, namespace: str) -> Iterator[Grant]:
        subjects = [f"User:{user.name}", *(f"Group:{group}" for group in user.groups)]
        local = self._index.local.get(namespace, {}) if namespace else {}
        for table in (self._index.everywhere, local):
            for subject in subjects:
                yield from table.get(subject, ())

    # -- the index

    def _refresh(self) -> None:
        writes = sum(source.writes for source in self._sources)
        if writes != self._seen:
            self._seen = writes
            self._answers.clear()
            self._index = self._build()

    def _all(self, resource: str) -> Iterable[Obj]:
        binding = self._reader.binding(resource)
        return (binding.held(record).obj for record in self._reader.store.list(binding.prefix))

    def _build(self) -> _Index:
        index = _Index()
        for obj in self._all(CLUSTER_BINDINGS):
            self._add(index.everywhere, obj, f"ClusterRoleBinding {quote(obj['metadata']['name'])}")
        for obj in self._all(BINDINGS):
            metadata = obj["metadata"]
            table = index.local.setdefault(metadata["namespace"], {})
            self._add(table, obj, f"RoleBinding {quote(metadata['name'] + '/' + metadata['namespace'])}")
        return index

    def _add(self, table: dict[str, list[Grant]], binding: Obj, shown: str) -> None:
        role, namespace = binding["roleRef"], binding["metadata"].get("namespace", "")
        rules = self.role_rules(role, namespace)
        broken = "" if rules is not None else f"{role['kind'].lower()}.{GROUP} {quote(role['name'])}"
        quick = tuple(map(Rule, rules or ()))
        for subject in binding.get("subjects") or ():
            key, who = _subject(subject, namespace)
            why = f"{shown} of {role['kind']} {quote(role['name'])} to {who}"
            table.setdefault(key, []).append(Grant(why, rules or [], quick, broken))


def _subject(subject: Obj, namespace: str) -> tuple[str, str]:
    """The key of the index, and the name in an explanation."""
    name = subject["name"]
    if subject["kind"] != "ServiceAccount":
        return f"{subject['kind']}:{name}", f"{subject['kind']} {quote(name)}"
    home = subject.get("namespace") or namespace
    return f"User:system:serviceaccount:{home}:{name}", f"ServiceAccount {quote(f'{name}/{home}')}"


def refusal(user: User, ask: Ask, why: str = "") -> ApiError:
    """403 as kube-apiserver words it."""
    if ask.path:
        text = f"User {quote(user.name)} cannot {ask.verb} path {quote(ask.path)}"
        return ApiError(403, "Forbidden", f"forbidden: {text}")
    where = f"in the namespace {quote(ask.namespace)}" if ask.namespace else "at the cluster scope"
    text = (
        f"User {quote(user.name)} cannot {ask.verb} resource {quote(ask.resource)} "
        f"in API group {quote(ask.group)} {where}"
    )
    plural = ask.resource.partition("/")[0]
    full = f"{plural}.{ask.group}" if ask.group else plural
    return forbidden(full, ask.name, f"{text}: {why}" if why else text)
