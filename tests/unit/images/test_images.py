"""What image names mean: names, registered programs, aliases, users."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from sampan.base.errors import UserError
from sampan.images import users
from sampan.images.aliases import machine_images, make_tools
from sampan.images.names import InvalidImageName, parse
from sampan.images.registry import Registry
from sampan.images.types import ImageNotFound


@pytest.mark.parametrize(
    ("image", "normal"),
    [
        ("busybox", "busybox"),
        ("docker.io/library/busybox:1.36", "busybox:1.36"),
        ("index.docker.io/odise/busybox-curl", "odise/busybox-curl"),
        ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        ("gin-demo:v2@sha256:" + "a" * 64, "gin-demo:v2"),
    ],
)
def test_names_lose_what_docker_hub_implies(image: str, normal: str) -> None:
    assert str(parse(image)) == normal


@pytest.mark.parametrize("image", ["", "Upper", "a b", "name:", "/x", "a//b"])
def test_names_that_cannot_be(image: str) -> None:
    with pytest.raises(InvalidImageName, match="invalid reference format"):
        parse(image)


def test_register_and_resolve(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "images")
    registry.register(
        "acme/web",
        ["./serve", "-v"],
        workdir=tmp_path,
        env={"A": "1"},
        cmd=["--port", "80"],
        user="1000:1001",
        environ={"PATH": "/opt/bin"},
    )
    found = machine_images(tmp_path / "images").resolve("docker.io/acme/web:v7")
    assert (found.entrypoint, found.cmd) == (("./serve", "-v"), ("--port", "80"))
    assert (found.workdir, found.user) == (str(tmp_path), "1000:1001")
    assert dict(found.env) == {"PATH": "/opt/bin", "A": "1"}


def test_an_exact_tag_wins_over_the_bare_name(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.register("web", ["old"], workdir=tmp_path, environ={})
    registry.register("web:v2", ["new"], workdir=tmp_path, environ={})
    images = machine_images(tmp_path)
    assert images.resolve("web:v2").entrypoint == ("new",)
    assert images.resolve("web:v1").entrypoint == ("old",)
    assert images.resolve("web:v1").id != images.resolve("web:v2").id


def test_unknown_name_says_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match=r"sampan image register gin-demo --workdir DIR -- COMMAND"):
        machine_images(tmp_path).resolve("gin-demo")


def test_aliases_of_the_machine_and_own_ones(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    images = machine_images(tmp_path)
    box = images.resolve("odise/busybox-curl")
    assert (box.entrypoint, box.cmd, box.user) == ((), ("/bin/sh",), "65534:65534")
    assert dict(box.env)["PATH"].endswith(str(tmp_path / "tools"))
    registry.register("web", ["serve"], workdir=tmp_path, environ={})
    version = images.version()
    registry.alias("gcr.io/acme/*", "web")
    assert images.version() != version
    assert images.resolve("gcr.io/acme/frontend:v3").entrypoint == ("serve",)
    registry.alias("gcr.io/acme/*", "host")
    assert images.resolve("gcr.io/acme/frontend:v3").cmd == ("sh",)
    registry.remove("gcr.io/acme/*")
    with pytest.raises(ImageNotFound):
        images.resolve("gcr.io/acme/frontend:v3")


def test_bad_registrations(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        registry.register("web", ["x"], workdir=tmp_path / "none")
    with pytest.raises(UserError, match="nothing to run"):
        registry.register("web", [], workdir=tmp_path)
    with pytest.raises(UserError, match="no user"):
        registry.register("web", ["x"], workdir=tmp_path, user="no-such-user-here")
    with pytest.raises(UserError, match="no image"):
        registry.remove("web")


def test_never_root_unless_asked(tmp_path: Path) -> None:
    assert users.default_user(tmp_path, {"SUDO_UID": "1000", "SUDO_GID": "100"}) == "1000:100"
    owner = os.stat(tmp_path)
    expected = f"{owner.st_uid}:{owner.st_gid}" if owner.st_uid else "65534:65534"
    assert users.default_user(tmp_path, {}) == expected
    assert users.default_user(tmp_path / "none", {}) == "65534:65534"
    assert users.parse_user("root") == "0:0"
    assert users.parse_user("4242424") == "4242424:4242424"


def _register(directory: str, number: int) -> None:
    Registry(Path(directory)).register(f"web{number}", ["x"], workdir=Path("/"), environ={})


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_register, args=(str(tmp_path), n)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Registry(tmp_path).programs()) == 8


def test_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "images.json").write_text("{")
    with pytest.raises(UserError, match=r"images\.json is damaged"):
        machine_images(tmp_path).resolve("x")


def test_tools_are_links_to_busybox(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\necho wget; echo ping\n")
    busybox.chmod(0o755)
    make_tools(tmp_path / "tools", str(busybox))
    make_tools(tmp_path / "tools", str(busybox))
    assert os.readlink(tmp_path / "tools" / "wget") == str(busybox)
