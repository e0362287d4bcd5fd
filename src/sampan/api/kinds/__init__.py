"""The SCHEME: every kind sampan serves. Adding a kind is one file here with a `RESOURCE` and one row below.

The order is the order of `kubectl api-resources` within a group.
"""

from sampan.api.kinds import (
    configmap,
    controllerrevision,
    deployment,
    endpoints,
    endpointslice,
    event,
    lease,
    namespace,
    node,
    pod,
    replicaset,
    review,
    role,
    rolebinding,
    secret,
    service,
    serviceaccount,
)
from sampan.api.scheme import Scheme

SCHEME = Scheme(
    (
        configmap.RESOURCE,
        endpoints.RESOURCE,
        event.RESOURCE,
        namespace.RESOURCE,
        node.RESOURCE,
        pod.RESOURCE,
        secret.RESOURCE,
        serviceaccount.RESOURCE,
        service.RESOURCE,
        controllerrevision.RESOURCE,
        deployment.RESOURCE,
        replicaset.RESOURCE,
        *review.REVIEWS,
        lease.RESOURCE,
        endpointslice.RESOURCE,
        rolebinding.CLUSTER_ROLE_BINDING,
        role.CLUSTER_ROLE,
        rolebinding.ROLE_BINDING,
        role.ROLE,
    )
)
