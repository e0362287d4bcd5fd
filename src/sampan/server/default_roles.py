"""The roles and bindings every cluster starts with.

A rule is (verbs, API group, resources): words separated by spaces, "core" for the legacy group, group "url" for paths.
Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
"""

from __future__ import annotations

from sampan.api.meta import Obj
from sampan.api.rbac import GROUP

Row = tuple[str, str, str]

_ALL = "create delete deletecollection get list patch update watch"
_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_MARK = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_UPDATED = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_MONITORING_PATHS = "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"
_PUBLIC_PATHS = "/healthz /livez /readyz /version /version/"
_DISCOVERY_PATHS = f"/api /api/* /apis /apis/* /openapi /openapi/* {_PUBLIC_PATHS}"

# What the agents of nodes do, whoever binds what to whom: they read all they may have to mount, serve or resolve.
NODE: tuple[Row, ...] = (
    (_READ, "*", "*"),
    ("create delete patch update", "core", "nodes nodes/status"),
    ("create delete", "core", "pods"),
    ("patch update", "core", "pods/status persistentvolumeclaims/status"),
    ("create", "core", "pods/eviction serviceaccounts/token"),
    ("create patch update", "core", "events"),
    ("create patch update", "events.k8s.io", "events"),
    ("create delete patch update", "coordination.k8s.io", "leases"),
    ("create delete patch update", "discovery.k8s.io", "endpointslices"),
    ("create delete patch update", "storage.k8s.io", "csinodes"),
    ("create", "certificates.k8s.io", "certificatesigningrequests"),
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    ("get", "url", "*"),
)

_VIEW: tuple[Row, ...] = (
    (
        _READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    (
        _READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    (_READ, "core", "namespaces"),
    (_READ, "discovery.k8s.io", "endpointslices"),
    (
        _READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    (_READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (_READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (_READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (_READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (_READ, "metrics.k8s.io", "pods"),
)
_EDIT: tuple[Row, ...] = (
    (_READ, "core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    ("impersonate", "core", "serviceaccounts"),
    (_WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    ("create", "core", "pods/eviction"),
    (
        _WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    ("create", "core", "serviceaccounts/token"),
    (
        _WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
    ),
    (_WRITE, "autoscaling", "horizontalpodautoscalers"),
    (_WRITE, "batch", "cronjobs jobs"),
    (_WRITE, "policy", "poddisruptionbudgets"),
    (_WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    (_ALL, "coordination.k8s.io", "leases"),
)
_ADMIN: tuple[Row, ...] = (
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    (_ALL, GROUP, "rolebindings roles"),
)
_SCHEDULER: tuple[Row, ...] = (
    ("create patch update", "events.k8s.io", "events"),
    ("create patch update", "core", "events"),
    ("create", "coordination.k8s.io", "leases"),
    ("get list update watch", "coordination.k8s.io", "leases"),
    (_READ, "core", "nodes namespaces persistentvolumeclaims persistentvolumes replicationcontrollers services"),
    ("delete get list watch", "core", "pods"),
    ("create", "core", "bindings pods/binding"),
    ("patch update", "core", "pods/status"),
    (_READ, "apps", "replicasets statefulsets"),
    (_READ, "policy", "poddisruptionbudgets"),
    (_READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities storageclasses"),
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
)
_CONTROLLERS: tuple[Row, ...] = (
    ("create patch update", "core", "events"),
    ("create patch update", "events.k8s.io", "events"),
    ("create", "coordination.k8s.io", "leases"),
    ("get update", "coordination.k8s.io", "leases"),
    ("create", "core", "secrets serviceaccounts serviceaccounts/token"),
    ("delete", "core", "secrets"),
    ("get", "core", "configmaps namespaces secrets serviceaccounts"),
    ("update", "core", "secrets serviceaccounts"),
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
    ("list watch", "*", "*"),
)

_ROLES: dict[str, tuple[Row, ...]] = {
    "cluster-admin": (("*", "*", "*"), ("*", "url", "*")),
    "system:discovery": (("get", "url", _DISCOVERY_PATHS),),
    "system:public-info-viewer": (("get", "url", _PUBLIC_PATHS),),
    "system:monitoring": (("get", "url", _MONITORING_PATHS),),
    "system:basic-user": (
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:aggregate-to-admin": _ADMIN,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-view": _VIEW,
    "system:node": NODE,
    "system:node-proxier": (
        (_READ, "core", "endpoints services"),
        (_READ, "core", "nodes"),
        ("create patch update", "core", "events"),
        ("create patch update", "events.k8s.io", "events"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:kube-scheduler": _SCHEDULER,
    "system:kube-controller-manager": _CONTROLLERS,
    "system:kube-dns": (("list watch", "core", "endpoints services"),),
    "system:auth-delegator": (
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    "system:kubelet-api-admin": (
        (_READ, "core", "nodes"),
        ("proxy", "core", "nodes"),
        ("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    "system:persistent-volume-provisioner": (
        ("create delete get list watch", "core", "persistentvolumes"),
        ("get list update watch", "core", "persistentvolumeclaims"),
        (_READ, "storage.k8s.io", "storageclasses"),
        ("create list patch update watch", "core", "events"),
    ),
    "system:service-account-issuer-discovery": (("get", "url", "/.well-known/openid-configuration /openid/v1/jwks"),),
    "system:node-bootstrapper": (("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (),
    "system:certificates.k8s.io:kubelet-serving-approver": (),
    "system:certificates.k8s.io:legacy-unknown-approver": (),
}
_CERTIFICATES = "certificaterequests certificates issuers"
# As cert-manager's own chart adds them.
_ROLES |= {
    "sampan:certificates-view": ((_READ, "cert-manager.io", _CERTIFICATES),),
    "sampan:certificates-edit": ((_WRITE, "cert-manager.io", _CERTIFICATES),),
}
_APPROVER = "system:certificates.k8s.io:"

# role → label its rules are added by to another one; and the roles made of such.
_AGGREGATED = {
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
    "sampan:certificates-edit": "edit",
    "sampan:certificates-view": "view",
    "edit": "admin",
    "view": "edit",
}
_MADE_OF_OTHERS = ("view", "edit", "admin")  # each may be part of the next

# binding (and role) → subjects as KIND:NAME
_BINDINGS = {
    "cluster-admin": "Group:system:masters",
    "system:basic-user": "Group:system:authenticated",
    "system:discovery": "Group:system:authenticated",
    "system:public-info-viewer": "Group:system:authenticated Group:system:unauthenticated",
    "system:monitoring": "Group:system:monitoring",
    "system:node": "",
    "system:node-proxier": "User:system:kube-proxy",
    "system:kube-scheduler": "User:system:kube-scheduler",
    "system:kube-controller-manager": "User:system:kube-controller-manager",
    "system:service-account-issuer-discovery": "Group:system:serviceaccounts",
}


def rules(rows: tuple[Row, ...]) -> list[Obj]:
    """Rows of this file as PolicyRules."""
    return [_rule(*row) for row in rows]


def _rule(verbs: str, group: str, resources: str) -> Obj:
    if group == "url":
        return {"nonResourceURLs": resources.split(), "verbs": verbs.split()}
    return {"apiGroups": ["" if group == "core" else group], "resources": resources.split(), "verbs": verbs.split()}


def _approver(name: str) -> list[Obj]:
    signer = f"kubernetes.io/{name.removeprefix(_APPROVER).removesuffix('-approver')}"
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer]}
    return [{**rule, "verbs": ["approve"]}]


def _metadata(name: str) -> Obj:
    labels = dict(_MARK)
    if target := _AGGREGATED.get(name):
        labels[f"{GROUP}/aggregate-to-{target}"] = "true"
    return {"name": name, "labels": labels, "annotations": dict(_UPDATED)}


def cluster_roles() -> list[Obj]:
    """All default ClusterRoles, those of the aggregation last and without rules yet."""
    found: list[Obj] = []
    for name, rows in _ROLES.items():
        content = rules(rows) if rows else _approver(name)
        found.append({"metadata": _metadata(name), "rules": content})
    for name in _MADE_OF_OTHERS:
        selector = {"matchLabels": {f"{GROUP}/aggregate-to-{name}": "true"}}
        found.append({"metadata": _metadata(name), "aggregationRule": {"clusterRoleSelectors": [selector]}})
    return found


def cluster_role_bindings() -> list[Obj]:
    found: list[Obj] = []
    for name, subjects in _BINDINGS.items():
        listed = [dict(zip(("kind", "name"), s.split(":", 1), strict=True), apiGroup=GROUP) for s in subjects.split()]
        role = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
        metadata = {**_metadata(name), "labels": dict(_MARK)}
        found.append({"metadata": metadata, "roleRef": role} | ({"subjects": listed} if listed else {}))
    return found
