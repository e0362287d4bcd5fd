"""Validation of file paths inside volumes: relative, and never upwards.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

from sampan.api import fields
from sampan.api.status import FieldError


def no_backsteps(target: str, path: str) -> list[FieldError]:
    return [fields.invalid(path, target, "must not contain '..'")] if ".." in target.split("/") else []


def descending(target: str, path: str) -> list[FieldError]:
    """Not absolute, no `..`."""
    absolute = [fields.invalid(path, target, "must be a relative path")] if target.startswith("/") else []
    return absolute + no_backsteps(target, path)


def non_reserved(target: str, path: str) -> list[FieldError]:
    """Also not beginning with `..`: those names hold the atomic writer's own files."""
    found = descending(target, path)
    if target.startswith("..") and not target.startswith("../"):
        found.append(fields.invalid(path, target, "must not start with '..'"))
    return found
