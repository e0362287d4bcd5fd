"""What an image is to the one who starts containers.

The fields mean what they mean in the OCI image configuration:
https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sampan.base.errors import UserError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class ImageConfig:
    """`user` is "UID:GID"; `source` says in words where it comes from; `id` changes whenever the content does."""

    name: str
    id: str
    source: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = "/"
    user: str = "65534:65534"


class ImageNotFound(UserError):
    """No resolver knows the name. The text ends in the command that mends it."""

    def __init__(self, name: str) -> None:
        hint = f"sampan image register {name} --workdir DIR -- COMMAND"
        super().__init__(f'image "{name}" is not known on this machine; register it with: {hint}', hint)
        self.name = name


class Resolver(Protocol):
    """One way of knowing images."""

    def find(self, name: str) -> ImageConfig | None:
        """The image with this normalised name (`names.parse`), None when this resolver does not know it."""
        ...


class Images:
    """What the kubelet asks: the first resolver that knows the name answers.

    `version()` changes when what is known may have changed, so that nobody need wait to try again.
    """

    def __init__(self, resolvers: Sequence[Resolver], version: Callable[[], object] = lambda: 0) -> None:
        self._resolvers = tuple(resolvers)
        self.version = version

    def resolve(self, image: str) -> ImageConfig:
        """Raises ImageNotFound, and InvalidImageName for a name that cannot be one."""
        for resolver in self._resolvers:
            if (found := resolver.find(image)) is not None:
                return found
        raise ImageNotFound(image)
