"""A pod's names: hostname, /etc/hosts, /etc/resolv.conf.

Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api import meta
from sampan.api.meta import Obj


@dataclass(frozen=True)
class DnsConfig:
    """The cluster's DNS. `host` is the text of the machine's resolv.conf, for dnsPolicy Default."""

    server: str
    domain: str = "cluster.local"
    host: str = ""


def hostname(pod: Obj) -> str:
    """spec.hostname, else the pod's name; at most 63 characters. On the host's network it is the node's name."""
    if pod["spec"].get("hostNetwork"):
        return str(pod["spec"].get("nodeName", ""))
    return str(pod["spec"].get("hostname") or meta.name(pod))[:63].rstrip("-.")


def kernel_hostname(pod: Obj, domain: str) -> str:
    """What gethostname says inside: the whole domain name with setHostnameAsFQDN."""
    subdomain = pod["spec"].get("subdomain")
    if pod["spec"].get("setHostnameAsFQDN") and subdomain:
        return _fqdn(pod, domain)
    return hostname(pod)


def _fqdn(pod: Obj, domain: str) -> str:
    return f"{hostname(pod)}.{pod['spec']['subdomain']}.{meta.namespace(pod)}.svc.{domain}"


def hosts(pod: Obj, ip: str, domain: str) -> str:
    """The text of /etc/hosts."""
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    if ip:
        names = [_fqdn(pod, domain)] if pod["spec"].get("subdomain") else []
        lines.append("\t".join([ip, *names, hostname(pod)]))
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join([entry["ip"], *(entry.get("hostnames") or ())]) for entry in aliases]
    return "\n".join(lines) + "\n"


def resolv_conf(pod: Obj, dns: DnsConfig) -> str:
    """The text of /etc/resolv.conf for the pod's dnsPolicy and dnsConfig."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and pod["spec"].get("hostNetwork"):
        policy = "Default"
    servers, searches, options = _parse(dns.host)
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        namespace = meta.namespace(pod)
        cluster = [f"{namespace}.svc.{dns.domain}", f"svc.{dns.domain}", dns.domain]
        servers, searches, options = [dns.server], cluster + searches, {"ndots": "5"}
    elif policy == "None":
        servers, searches, options = [], [], {}
    asked = pod["spec"].get("dnsConfig") or {}
    servers += asked.get("nameservers") or []
    searches += asked.get("searches") or []
    options |= {o["name"]: o.get("value") or "" for o in asked.get("options") or ()}
    lines = [f"search {' '.join(dict.fromkeys(searches))}"] if searches else []
    lines += [f"nameserver {server}" for server in dict.fromkeys(servers)]
    if options:
        lines.append("options " + " ".join(f"{k}:{v}" if v else k for k, v in options.items()))
    return "\n".join(lines) + "\n"


def _parse(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search", *names]:
                searches = [name for name in names if name != "."]
            case ["options", *entries]:
                options |= {name: value for name, _, value in (e.partition(":") for e in entries)}
    return servers, searches, options
