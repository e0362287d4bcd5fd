"""The SCHEME: every kind sampan serves. Adding a kind is one file here with a `RESOURCE` and one row below.

The order is the order of `kubectl api-resources` within a group.
"""

from sampan.api.kinds import (
    configmap,
    controllerrevision,
    cronjob,
    daemonset,
    deployment,
    endpoints,
    endpointslice,
    event,
    job,
    lease,
    namespace,
    node,
    pod,
    podtemplate,
    replicaset,
    replicationcontroller,
    review,
    role,
    rolebinding,
    secret,
    service,
    serviceaccount,
    statefulset,
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
        podtemplate.RESOURCE,
        replicationcontroller.RESOURCE,
        secret.RESOURCE,
        serviceaccount.RESOURCE,
        service.RESOURCE,
        controllerrevision.RESOURCE,
        daemonset.RESOURCE,
        deployment.RESOURCE,
        replicaset.RESOURCE,
        statefulset.RESOURCE,
        cronjob.RESOURCE,
        job.RESOURCE,
        *review.REVIEWS,
        lease.RESOURCE,
        endpointslice.RESOURCE,
        rolebinding.CLUSTER_ROLE_BINDING,
        role.CLUSTER_ROLE,
        rolebinding.ROLE_BINDING,
        role.ROLE,
    )
)
