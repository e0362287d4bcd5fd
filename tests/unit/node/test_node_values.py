"""Environment, arguments, fields, DNS files, volumes: what a manifest's values become."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sampan.base.errors import SampanError
from sampan.images.types import ImageConfig
from sampan.node import atomicdir, env, podfiles, service_env
from sampan.node.addresses import Addresses
from sampan.node.container import container_spec, pod_resources, run_as
from sampan.node.env import Context, Ref
from sampan.node.fields import ConfigError, field_value, resource_value
from sampan.node.volume_content import volume_files, volume_references
from sampan.node.volumes import Volumes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = {"kind": "ConfigMap", "data": {"a": "1", "b": "two"}}
SECRET = {"kind": "Secret", "type": "Opaque", "data": {"pw": base64.b64encode(b"s3").decode()}}


def make_pod(**spec: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "app", "image": "x"}]} | spec
    return {"metadata": {"name": "web-1", "namespace": "ns", "uid": "u1", "labels": {"app": "web"}}, "spec": spec}


def context(pod: dict[str, Any] | None = None, **services: str) -> Context:
    objects = {Ref("configmaps", "cfg"): CONFIG, Ref("secrets", "sec"): SECRET, Ref("configmaps", "none"): None}
    return Context(pod or make_pod(), "10.0.0.5", "172.30.0.2", objects, services, {"cpu": "2", "memory": "1Gi"})


def test_values_come_from_everywhere() -> None:
    container = {
        "name": "app",
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "cfg"}},
            {"configMapRef": {"name": "none", "optional": True}},
        ],
        "env": [
            {"name": "PLAIN", "value": "x-$(P_a)-$(WEB_SERVICE_HOST)-$(NOPE)-$$(P_a)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "pw"}}},
            {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "zzz", "optional": True}}},
        ],
    }
    found = env.environment(container, context(WEB_SERVICE_HOST="10.96.0.9"))
    assert found == {
        "WEB_SERVICE_HOST": "10.96.0.9",
        "P_a": "1",
        "P_b": "two",
        "PLAIN": "x-1-10.96.0.9-$(NOPE)-$(P_a)",
        "NAME": "web-1",
        "IP": "10.0.0.5",
        "CPU": "2000",
        "PW": "s3",
    }
    assert env.references(container) == {Ref("configmaps", "cfg"), Ref("configmaps", "none"), Ref("secrets", "sec")}


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"envFrom": [{"configMapRef": {"name": "none"}}]}, 'configmap "none" not found'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}, 'secret "x" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "k"}}}]},
            "couldn't find key k in ConfigMap ns/cfg",
        ),
    ],
)
def test_what_is_missing_is_named(container: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        env.environment(container, context())
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("command", "args", "argv"),
    [
        ([], [], ("entry", "default")),
        ([], ["arg"], ("entry", "arg")),
        (["own"], [], ("own",)),
        (["own", "$(A)"], ["$(A)"], ("own", "1", "1")),
    ],
)
def test_command_and_args(command: list[str], args: list[str], argv: tuple[str, ...]) -> None:
    assert env.command({"command": command, "args": args}, ("entry",), ("default",), {"A": "1"}) == argv


def test_addresses() -> None:
    pool = Addresses("10.244.3.0/29")
    assert [pool.allocate(uid) for uid in "abc"] == ["10.244.3.2", "10.244.3.3", "10.244.3.4"]
    pool.release("b")
    assert pool.allocate("d") == "10.244.3.5"  # a freed one comes last
    assert pool.allocate("e", "10.244.3.3") == "10.244.3.3"
    assert not pool.claim("x", "10.244.3.2")
    assert not pool.claim("x", "10.99.0.1")
    pool.allocate("f")
    with pytest.raises(SampanError, match="all 5 addresses"):
        pool.allocate("g")
    restarted = Addresses("10.244.3.0/29")
    restarted.claim("c", "10.244.3.4")
    assert restarted.allocate("n") == "10.244.3.5"


def test_service_variables() -> None:
    web = {
        "metadata": {"name": "my-web", "namespace": "ns"},
        "spec": {
            "clusterIP": "10.96.0.7",
            "ports": [{"name": "http", "port": 80}, {"name": "d", "port": 53, "protocol": "UDP"}],
        },
    }
    api = {
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
    }
    headless = {"metadata": {"name": "h", "namespace": "ns"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    found = service_env.service_env([web, api, headless], "ns", links=True)
    assert found["MY_WEB_SERVICE_HOST"] == "10.96.0.7"
    assert found["MY_WEB_SERVICE_PORT"] == found["MY_WEB_SERVICE_PORT_HTTP"] == "80"
    assert found["MY_WEB_PORT"] == found["MY_WEB_PORT_80_TCP"] == "tcp://10.96.0.7:80"
    assert found["MY_WEB_PORT_53_UDP_PROTO"] == "udp"
    assert found["MY_WEB_PORT_53_UDP_ADDR"] == "10.96.0.7"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not any(name.startswith("H_") for name in found)
    assert set(service_env.service_env([web, api], "ns", links=False)) == {
        k for k in found if k.startswith("KUBERNETES")
    }


def test_downward_fields() -> None:
    pod = make_pod()
    assert field_value(pod, "metadata.labels['app']", "", "") == "web"
    assert field_value(pod, "metadata.labels", "", "") == 'app="web"'
    with pytest.raises(ConfigError, match="unsupported fieldPath"):
        field_value(pod, "spec.nope", "", "")
    container = {"resources": {"limits": {"memory": "64Mi"}}}
    assert resource_value(container, {"resource": "limits.memory", "divisor": "1Mi"}, {}) == "64"
    assert resource_value(container, {"resource": "requests.memory"}, {}) == str(64 << 20)


def test_users_and_non_root() -> None:
    image = ImageConfig("x", "id", "", user="1000:1001", cmd=("x",))
    pod = make_pod(securityContext={"fsGroup": 7, "supplementalGroups": [8]})
    found = run_as(pod, {"name": "app"}, image)
    assert (found.uid, found.gid, found.groups) == (1000, 1001, (8, 7))
    assert run_as(pod, {"name": "app", "securityContext": {"runAsUser": 5, "runAsGroup": 6}}, image).gid == 6
    with pytest.raises(ConfigError, match=r'image will run as root \(pod: "web-1_ns\(u1\)", container: app\)'):
        run_as(pod, {"name": "app", "securityContext": {"runAsNonRoot": True}}, ImageConfig("x", "", "", user="0:0"))


def test_container_spec_has_it_all(tmp_path: Path) -> None:
    container = {
        "name": "app",
        "tty": True,
        "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "allowPrivilegeEscalation": False},
    }
    image = ImageConfig("x", "id", "", entrypoint=("run",), env=(("A", "image"), ("B", "2")), workdir="/srv")
    pod = make_pod(containers=[container])
    spec = container_spec(pod, container, 2, image=image, env={"A": "pod"}, mounts=(), hostname="h", directory=tmp_path)
    variables = dict(spec.env)
    assert (spec.argv, spec.cwd, spec.attempt) == (("run",), "/srv", 2)
    assert (variables["A"], variables["B"], variables["HOSTNAME"], variables["TERM"]) == ("pod", "2", "h", "xterm")
    assert (spec.resources.cpu_limit, spec.resources.cpu_request, spec.resources.memory_limit) == (0.25, 0.25, 64 << 20)
    assert (spec.add_capabilities, spec.drop_capabilities, spec.no_new_privileges) == (("NET_ADMIN",), ("ALL",), True)
    assert spec.log_path == str(tmp_path / "logs/app/2.log")
    assert pod_resources(make_pod(containers=[container, {"name": "b"}])).memory_limit == 0


def test_hosts_and_resolv_conf() -> None:
    pod = make_pod(subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = podfiles.hosts(pod, "10.0.0.5", "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.5\tweb-1.sub.ns.svc.cluster.local\tweb-1\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    dns = podfiles.DnsConfig("10.96.0.10", host="nameserver 9.9.9.9\nsearch lan .\noptions timeout:1\n")
    assert podfiles.resolv_conf(pod, dns) == (
        "search ns.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n"
    )
    own = make_pod(
        dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]}
    )
    assert podfiles.resolv_conf(own, dns) == "nameserver 1.1.1.1\noptions ndots:2\n"
    assert podfiles.resolv_conf(make_pod(dnsPolicy="Default"), dns).startswith("search lan\nnameserver 9.9.9.9\n")
    assert podfiles.hostname(make_pod(hostNetwork=True, nodeName="node-1")) == "node-1"
    assert podfiles.kernel_hostname(make_pod(setHostnameAsFQDN=True, subdomain="s"), "x") == "web-1.s.ns.svc.x"


def test_directories_change_in_one_step(tmp_path: Path) -> None:
    one = {"a": atomicdir.File(b"1", 0o600), "d/b": atomicdir.File(b"2", 0o644)}
    assert atomicdir.write(tmp_path / "v", one, NOW)
    assert not atomicdir.write(tmp_path / "v", one, NOW)
    first = os.readlink(tmp_path / "v/..data")
    assert (tmp_path / "v/a").read_bytes() == b"1"
    assert (tmp_path / "v/a").stat().st_mode & 0o777 == 0o600
    assert atomicdir.write(tmp_path / "v", {"c": atomicdir.File(b"3", 0o644)}, NOW.replace(year=2027))
    assert sorted(os.listdir(tmp_path / "v")) == sorted(["..data", "c", os.readlink(tmp_path / "v/..data")])
    assert not (tmp_path / "v" / first).exists()


def test_volume_content() -> None:
    projected = {
        "name": "all",
        "projected": {
            "defaultMode": 0o400,
            "sources": [
                {"configMap": {"name": "cfg", "items": [{"key": "a", "path": "x/y", "mode": 0o444}]}},
                {"secret": {"name": "sec"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ],
        },
    }
    found = volume_files(projected, context())
    assert found == {"x/y": (b"1", 0o444), "pw": (b"s3", 0o400), "labels": (b'app="web"', 0o400)}
    assert volume_references(make_pod(volumes=[projected])) == {Ref("configmaps", "cfg"), Ref("secrets", "sec")}
    with pytest.raises(ConfigError, match="references non-existent config key: q"):
        volume_files({"name": "v", "configMap": {"name": "cfg", "items": [{"key": "q", "path": "q"}]}}, context())
    with pytest.raises(ConfigError, match="failed to fetch token: not asked for"):
        volume_files({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, context())


def test_volumes_and_mounts(tmp_path: Path) -> None:
    container = {
        "name": "app",
        "volumeMounts": [
            {"name": "cfg", "mountPath": "/etc/cfg"},
            {"name": "cfg", "mountPath": "/etc/one", "subPath": "a"},
            {"name": "tmp", "mountPath": "/scratch", "subPathExpr": "$(POD)/x"},
            {"name": "mem", "mountPath": "/mem"},
            {"name": "host", "mountPath": "/h", "readOnly": True},
        ],
    }
    pod = make_pod(
        containers=[container],
        volumes=[
            {"name": "cfg", "configMap": {"name": "cfg"}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "mem", "emptyDir": {"medium": "Memory"}},
            {"name": "host", "hostPath": {"path": str(tmp_path / "h"), "type": "DirectoryOrCreate"}},
        ],
    )
    volumes = Volumes(tmp_path / "pod", tmp_path / "memory")
    volumes.make(pod, context(pod), NOW, {})
    mounts = {m.target: m for m in volumes.mounts(pod, container, {"POD": "web-1"})}
    assert Path(mounts["/etc/one"].source).read_bytes() == b"1"
    assert mounts["/etc/cfg"].read_only
    assert mounts["/h"].read_only
    assert mounts["/scratch"].source.endswith("/emptyDir/tmp/web-1/x")
    assert mounts["/mem"].source.startswith(str(tmp_path / "memory"))
    volumes.remove()
    assert not (tmp_path / "memory").exists()


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "none"}}, 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
        ({"hostPath": {"path": "/proc/self", "type": "File"}}, "hostPath type check failed: /proc/self is not a file"),
        ({"nfs": {"server": "x"}}, "volumes of type nfs are not supported"),
    ],
)
def test_volumes_that_cannot_be(tmp_path: Path, volume: dict[str, Any], text: str) -> None:
    pod = make_pod(volumes=[{"name": "v"} | volume])
    with pytest.raises(ConfigError) as error:
        Volumes(tmp_path, tmp_path).make(pod, context(pod), NOW, {})
    assert text in str(error.value)


def test_sub_paths_stay_inside(tmp_path: Path) -> None:
    container = {"name": "app", "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "link"}]}
    pod = make_pod(containers=[container], volumes=[{"name": "v", "emptyDir": {}}])
    volumes = Volumes(tmp_path, tmp_path)
    volumes.make(pod, context(pod), NOW, {})
    (tmp_path / "volumes/emptyDir/v/link").symlink_to("/etc")
    with pytest.raises(ConfigError, match="leads out of the volume"):
        volumes.mounts(pod, container, {})
