"""Make src/sampan/server/protobuf_fields.json: the field numbers of Kubernetes' protobuf messages.

    git clone --branch release-1.32 https://github.com/kubernetes/api
    git clone --branch release-1.32 https://github.com/kubernetes/apimachinery
    python tools/protobuf_fields.py api apimachinery > src/sampan/server/protobuf_fields.json

The numbers are in the generated.proto files; which fields are inlined in JSON and which scalars are pointers (so that a
zero has a meaning) is in the types.go next to them. REVISION names another branch or tag of both clones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

GROUPS = (
    *("admissionregistration/v1", "apps/v1", "authentication/v1", "authorization/v1", "autoscaling/v1"),
    *("autoscaling/v2", "batch/v1", "certificates/v1", "coordination/v1", "core/v1", "discovery/v1", "events/v1"),
    *("networking/v1", "node/v1", "policy/v1", "rbac/v1", "scheduling/v1", "storage/v1"),
)
SCALARS = {"string": "s", "bool": "b", "int32": "i", "int64": "i", "uint32": "i", "bytes": "B", "double": "d"}
PACKAGES = {
    "k8s.io.apimachinery.pkg.apis.meta.v1": "meta.v1",
    "k8s.io.apimachinery.pkg.api.resource": "resource",
    "k8s.io.apimachinery.pkg.runtime": "runtime",
    "k8s.io.apimachinery.pkg.util.intstr": "intstr",
}
FIELD = re.compile(r"\s*(?:(optional|repeated)\s+([\w.]+)|map<string, *([\w.]+)>)\s+(\w+)\s*=\s*(\d+)")
TAG = re.compile(r'^\s*(?:\w+\s+)?(\*?)([\w.\[\]]+)\s+`.*json:"([^"]*)".*protobuf:"([^"]*)"')


def show(repository: str, path: str) -> str:
    revision = os.environ.get("REVISION", "HEAD")
    return subprocess.run(
        ["git", "-C", repository, "show", f"{revision}:{path}"], check=True, capture_output=True, text=True
    ).stdout


def tags(source: str) -> dict[tuple[str, str], str]:
    """(struct, protobuf name) → "+" for a field inlined in JSON, "*" for a pointer to a scalar."""
    found, struct = {}, ""
    for line in source.splitlines():
        if start := re.match(r"type (\w+) struct", line):
            struct = start[1]
        elif tag := TAG.match(line):
            pointer, kind, text, wire = tag.groups()
            named = re.search(r"name=(\w+)", wire)
            name = named[1] if named else kind[0].lower() + kind[1:]
            if ",inline" in text and not text.split(",")[0]:
                found[struct, name] = "+"
            elif pointer and (kind in SCALARS or kind[0].isupper()):
                found[struct, name] = "*"
    return found


def messages(proto: str, package: str, marks: dict[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    message = ""
    for line in proto.splitlines():
        if start := re.match(r"message (\w+) \{", line):
            message = start[1]
            found[f"{package}.{message}"] = {}
        elif field := FIELD.match(line):
            label, kind, value, name, number = field.groups()
            shape = {"optional": "", "repeated": "[]"}.get(label, "{}")
            mark = marks.get((message, name), "")
            full = qualify(kind or value, package)
            if mark == "*" and full not in SCALARS.values():
                mark = ""
            found[f"{package}.{message}"][number] = f"{mark}{name} {shape}{full}"
    return found


def qualify(kind: str, package: str) -> str:
    if kind in SCALARS:
        return SCALARS[kind]
    long, _, name = kind.lstrip(".").rpartition(".")
    if not long:
        return f"{package}.{kind}"
    short = PACKAGES.get(long) or long.removeprefix("k8s.io.api.")
    return f"{short}.{name}"


def main(api: str, machinery: str) -> None:
    table: dict[str, dict[str, str]] = {}
    for group in GROUPS:
        marks = tags(show(api, f"{group}/types.go"))
        table |= messages(show(api, f"{group}/generated.proto"), group.replace("/", "."), marks)
    for long, short in PACKAGES.items():
        folder = long.removeprefix("k8s.io.apimachinery.").replace(".", "/")
        source = show(machinery, f"{folder}/types.go") if short in ("meta.v1", "runtime") else ""
        table |= messages(show(machinery, f"{folder}/generated.proto"), short, tags(source))
    json.dump({k: table[k] for k in sorted(table)}, sys.stdout, separators=(",", ":"), sort_keys=False)
    print()


main(*sys.argv[1:])
