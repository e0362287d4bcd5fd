"""Golden files: the complete input and output of a case in one YAML file, tests/golden/FOLDER/NAME.yaml.

    description: what it shows
    input: …        written by hand: Kubernetes objects (or what the folder's test makes of it)
    requests: …     written by hand, optional: what a proxy that is configured so must do (see `Request`)
    output: …       written by `make golden`: everything above it, comments too, stays as it is

In Secrets of the input, `stringData` may say "@certificate HOST…", "@key HOST…" or "@ca NAME": a pair is made once a
run. What is shown of secrets in the output is whom they are for, never their bytes.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sampan import ir
from sampan.api.meta import Key

ROOT = Path(__file__).resolve().parent.parent / "golden"
WRITE = os.environ.get("SAMPAN_GOLDEN") == "write"
_OUTPUT = "output:"


@dataclass(frozen=True)
class Request:
    """One request and what must become of it; only what is given is compared.

    `expect`: status; cluster (name, or a list when any of them may take it); path and host as the upstream sees them;
    location (of a redirect); headers (of the answer); upstream_headers (None: must not be there); body (a part of it).
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    expect: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True)
class Case:
    path: Path
    input: Any
    description: str = ""
    requests: tuple[Request, ...] = ()
    output: Any = None

    def __str__(self) -> str:
        return self.path.stem

    def check(self, actual: Any) -> None:
        """Compare with the output in the file, or with SAMPAN_GOLDEN=write make it the output."""
        text = dump({"output": actual})
        source = self.path.read_text()
        head, _, old = source.partition(f"\n{_OUTPUT}")
        if WRITE:
            self.path.write_text(f"{head.rstrip()}\n{text}")
            return
        old = f"{_OUTPUT}{old}" if old else ""
        if old != text:
            lines = difflib.unified_diff(old.splitlines(), text.splitlines(), str(self.path), "now", lineterm="")
            raise AssertionError("\n".join([*lines, "", "when that is as it should be: make golden"]))


def cases(folder: str) -> list[Case]:
    """All cases of a folder, for pytest.mark.parametrize(…, ids=str)."""
    return [_load(path) for path in sorted((ROOT / folder).glob("*.yaml"))]


def _load(path: Path) -> Case:
    data = yaml.safe_load(path.read_text()) or {}
    requests = tuple(Request(**entry) for entry in data.get("requests") or ())
    return Case(path, data.get("input"), data.get("description", ""), requests, data.get("output"))


def objects(entries: Iterable[dict[str, Any]], plurals: Mapping[str, str]) -> dict[str, dict[Key, dict[str, Any]]]:
    """resource → objects by key; `plurals`: kind → resource. Namespace `default` unless it says another."""
    made: dict[str, dict[Key, dict[str, Any]]] = {}
    for number, entry in enumerate(entries):
        metadata = entry["metadata"]
        if entry["kind"] not in ("IngressClass", "GatewayClass", "Namespace"):
            metadata.setdefault("namespace", "default")
        metadata.setdefault("creationTimestamp", f"2026-01-01T00:00:{number:02}Z")
        if "stringData" in entry:
            entry["data"] = {k: base64.b64encode(_bytes(v)).decode() for k, v in entry.pop("stringData").items()}
        key = Key(metadata.get("namespace", ""), metadata["name"])
        made.setdefault(plurals[entry["kind"]], {})[key] = entry
    return made


def _bytes(text: str) -> bytes:
    words = text.split()
    if not text.startswith("@"):
        return text.encode()
    chain, key = pair(tuple(words[1:]), ca=words[0] == "@ca")
    return key if words[0] == "@key" else chain


@functools.cache
def pair(hosts: tuple[str, ...], *, ca: bool = False) -> tuple[bytes, bytes]:
    """A self-signed certificate for these names and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if not ca:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), pem


def readable(value: Any) -> Any:
    """A value of the representation as plain YAML: what is at its default is left out, secrets show no bytes."""
    if isinstance(value, ir.Origin):
        return str(value)
    if isinstance(value, ir.Secret):
        shown = {"chain": _whom(value.chain), "roots": _whom(value.roots), "origin": readable(value.origin)}
        return {k: v for k, v in shown.items() if v}
    if isinstance(value, ir.BasicAuth):
        return {"users": [name for name, _ in value.users]} | ({"realm": value.realm} if value.realm else {})
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name: readable(v) for f in fields if (v := getattr(value, f.name)) != _default(f)}
    if isinstance(value, Mapping):
        return {str(k): readable(v) for k, v in sorted(value.items())}
    if isinstance(value, tuple | list):
        return [readable(v) for v in value]
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _whom(pem: bytes) -> str:
    names = [c.subject.rfc4514_string() for c in x509.load_pem_x509_certificates(pem)] if pem else []
    return ", ".join(names)


class _Dumper(yaml.SafeDumper):
    """Never anchors; texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
