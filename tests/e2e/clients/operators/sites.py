"""An operator in kopf's style: a Site owns a ConfigMap and a Deployment, has a status, and says good-bye with a finalizer."""

import kopf
from kubernetes import client, config

config.load_kube_config()


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.persistence.finalizer = "sites.example.com/kopf"
    settings.posting.loggers = True  # what the handlers log becomes events


def _page(spec):
    return {"index.html": spec["text"]}


@kopf.on.create("example.com", "v1", "sites")
def create(spec, name, namespace, logger, **_):
    page = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": _page(spec)}
    container = {"name": "web", "image": "busybox", "command": ["sleep", "600"]}
    server = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": spec["replicas"],
            "selector": {"matchLabels": {"site": name}},
            "template": {
                "metadata": {"labels": {"site": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }
    kopf.adopt([page, server])
    client.CoreV1Api().create_namespaced_config_map(namespace, page)
    client.AppsV1Api().create_namespaced_deployment(namespace, server)
    logger.info("the site %s is made", name)
    return {"page": name}


@kopf.on.update("example.com", "v1", "sites", field="spec.text")
def rewrite(spec, name, namespace, old, new, **_):
    client.CoreV1Api().patch_namespaced_config_map(name, namespace, {"data": _page(spec)})
    return f"{old} -> {new}"


@kopf.on.field("example.com", "v1", "sites", field="spec.replicas")
def scale(new, old, name, namespace, **_):
    if old is not None and new is not None:
        client.AppsV1Api().patch_namespaced_deployment_scale(name, namespace, {"spec": {"replicas": new}})


@kopf.on.delete("example.com", "v1", "sites")
def delete(spec, name, namespace, **_):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-was-here"}, "data": _page(spec)}
    client.CoreV1Api().create_namespaced_config_map(namespace, body)
