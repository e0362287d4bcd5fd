"""History, time travel, backups and damage, as a user meets them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from e2e import Cluster, until


def test_who_changed_what_when(cluster: Cluster) -> None:
    name, space = ("--cluster", cluster.name), ("-n", cluster.namespace)  # type: ignore[attr-defined]
    cluster.kubectl("create", "deployment", "web", "--image=busybox", "--replicas=0")
    before = cluster.jsonpath("{.metadata.resourceVersion}", "deployment", "web")
    time.sleep(1.1)
    then = datetime.now(UTC).isoformat()
    cluster.kubectl("scale", "deployment", "web", "--replicas=1", "--as=eve", "--as-group=system:masters")
    story = cluster.sampan("history", "deploy/web", *space, *name)
    assert re.search(r"revision \d+  kubernetes-admin  create  kubectl/\S+ from 127\.0\.0\.1", story)
    assert re.search(r"revision \d+  eve \(asked by kubernetes-admin\)  patch", story)
    assert re.search(r"  spec:\n +- +replicas: 0\n +\+ +replicas: 1\n", story)
    assert "system:controller:deployment" in story
    for moment in (before, then):
        old = cluster.sampan("get", "deployments.apps/web", "--at", moment, "-o", "yaml", *space, *name)
        assert "  replicas: 0\n" in old
    table = cluster.sampan("get", "deploy", *space, *name)
    assert table.splitlines()[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    cluster.kubectl("delete", "deployment", "web")
    assert "web" in cluster.sampan("get", "deploy", "--at", before, *space, *name)
    assert re.search(r"delete", cluster.sampan("history", "deploy/web", *space, *name).splitlines()[-1])
    lost = cluster.sampan("get", "deploy/web", "--at", "2001-01-01", *space, *name, check=False)
    assert lost.code == 1
    assert "does not go back" in lost.err
    assert "hint:" in lost.err


def test_damage_is_mended_from_a_backup(own_cluster: Cluster) -> None:
    name = ("--cluster", own_cluster.name)
    store, copy = own_cluster.directory / "store.db", own_cluster.state / "copy"
    own_cluster.kubectl("create", "configmap", "kept")
    own_cluster.sampan("backup", str(copy), *name)
    folder = own_cluster.directory / "backups"
    folder.mkdir(exist_ok=True)
    copy.rename(folder / f"{int(own_cluster.get('configmap', 'kept')['metadata']['resourceVersion']):020}.db")
    revision = int(own_cluster.get("configmaps")["metadata"]["resourceVersion"] or 0)
    own_cluster.down()
    store.write_bytes(b"this is no store" * 1000)
    said = own_cluster.up()
    assert "is damaged" in said
    assert "restored from the backup" in said
    assert "restored from the backup" in own_cluster.sampan("status", *name)
    own_cluster.kubectl("get", "configmap", "kept")
    assert (
        int(own_cluster.kubectl("get", "--raw", "/api/v1/configmaps").split('"resourceVersion":"')[1].split('"')[0])
        > revision
    )
    until(lambda: "StoreRestored" in own_cluster.kubectl("get", "events"), "the event")
    own_cluster.sampan("backup", str(copy), *name)
    own_cluster.kubectl("delete", "configmap", "kept")
    refused = own_cluster.sampan("restore", str(copy), *name, check=False)
    assert refused.code == 1
    assert "is up" in refused.err
    own_cluster.down()
    own_cluster.sampan("restore", str(copy), *name)
    own_cluster.up()
    own_cluster.kubectl("get", "configmap", "kept")
