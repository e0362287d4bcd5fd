"""Image names. Source: https://github.com/distribution/reference"""

from __future__ import annotations

import re
from typing import NamedTuple

from sampan.base.errors import UserError

_REFERENCE = re.compile(
    r"(?P<name>(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?"
)
_HUB = ("docker.io/", "index.docker.io/", "registry-1.docker.io/")


class InvalidImageName(UserError):
    """Kubernetes shows this as the waiting reason InvalidImageName."""

    def __init__(self, image: str) -> None:
        super().__init__(
            f'couldn\'t parse image name "{image}": invalid reference format',
            "image names are lower case: [REGISTRY/]NAME[:TAG]",
        )


class Name(NamedTuple):
    """`repository` without Docker Hub's implied parts ("busybox" for docker.io/library/busybox); `tag` "" if none."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag else self.repository


def parse(image: str) -> Name:
    """The normalised name; a digest is dropped, since nothing here is content-addressed. Raises InvalidImageName."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        raise InvalidImageName(image)
    repository = match["name"]
    for hub in _HUB:
        repository = repository.removeprefix(hub)
    return Name(repository.removeprefix("library/"), match["tag"] or "")
