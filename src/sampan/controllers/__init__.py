"""Row 3: one file a controller; `table` lists them all.

A row says what the controller watches and how it reconciles a key (`client.env.Controller`); `client.controller` runs
the rows. Controllers never call each other: each reads what the others wrote.
"""

from __future__ import annotations

from pathlib import Path

from sampan.api.scheme import Scheme
from sampan.client.env import Controller
from sampan.controllers import (
    certificate,
    certificate_shim,
    clusterrole_aggregation,
    cronjob,
    customresourcedefinition,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslice_mirroring,
    ephemeral_volume,
    garbagecollector,
    gatewayclass,
    horizontalpodautoscaler,
    issuer,
    job,
    loadbalancer,
    namespace,
    nodelifecycle,
    podgc,
    replicaset,
    replicationcontroller,
    resourcequota,
    root_ca,
    scheduler,
    serviceaccount,
    statefulset,
    volumebinder,
    volumeprotection,
)

# What informers keep of objects that are large.
TRIMS = {customresourcedefinition.RESOURCE: customresourcedefinition.trim}


def table(scheme: Scheme, root_ca_pem: str, volumes: Path, lb_cidr: str) -> tuple[Controller, ...]:
    """All controllers, in the order a manifest comes true. Call once a cluster: rows remember their own writes.

    `volumes`: where the directories of PersistentVolumes are made. `lb_cidr`: the addresses of LoadBalancer Services.
    """
    return (
        serviceaccount.controller(),  # a pod needs an identity before anything else
        root_ca.controller(root_ca_pem),  # … and what to check the API server's certificate with
        deployment.controller(),  # Deployments → ReplicaSets
        replicaset.controller(),  # ReplicaSets → pods
        replicationcontroller.controller(),  # … and their older form
        statefulset.controller(scheme),  # StatefulSets → pods and claims
        daemonset.controller(),  # DaemonSets → a pod a node
        cronjob.controller(),  # CronJobs → Jobs
        job.controller(),  # Jobs → pods
        ephemeral_volume.controller(),  # claims of pods that bring their own
        volumebinder.controller(volumebinder.Directories(volumes)),  # claims → volumes
        *volumeprotection.controllers(),  # … which stay while they are used
        scheduler.controller(),  # pods → nodes
        endpointslice.controller(),  # ready pods → what the service proxy and DNS read
        endpoints.controller(),  # … and what `kubectl get ep` and older programs read
        endpointslice_mirroring.controller(),  # hand-written Endpoints → slices
        loadbalancer.controller(lb_cidr),  # addresses that are reached from outside
        horizontalpodautoscaler.controller(),  # what pods use → how many
        disruption.controller(),  # how many pods may be evicted
        resourcequota.controller(),  # what is used of each namespace's quotas
        nodelifecycle.controller(),  # silent nodes → taints, evictions
        podgc.controller(),  # pods nobody would ever end
        issuer.controller(),  # who may sign certificates
        certificate_shim.ingress_controller(),  # Ingresses' annotations → Certificates
        certificate_shim.gateway_controller(),  # … and Gateways'
        gatewayclass.controller(),  # whose Gateways are served, and how well
        certificate.controller(),  # Certificates → requests, and Secrets when they are signed
        customresourcedefinition.controller(),  # names of custom resources; their end
        namespace.controller(scheme),  # deleted namespaces → empty ones
        clusterrole_aggregation.controller(),  # roles made of other roles
        garbagecollector.controller(scheme),  # what owners leave behind
    )
