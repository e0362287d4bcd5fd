"""What `sampan image register` can tell at once instead of a pod much later."""

import shutil
import tempfile
from pathlib import Path

import pytest

from sampan.cli.image import closed_to

NOBODY = 65534


@pytest.fixture
def home():
    """A directory whose parents everybody may enter (pytest's own are closed)."""
    place = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="sampan-unit-"))
    (place / "app").mkdir(mode=0o755)
    yield place
    shutil.rmtree(place)


def test_the_first_directory_that_is_closed_is_named(home):
    home.chmod(0o700)
    assert closed_to(home / "app", NOBODY, NOBODY) == home
    assert closed_to(home / "app", 0, 0) is None
    assert closed_to(home / "app", home.stat().st_uid, 1) is None


def test_an_open_way_is_none_for_anybody(home):
    home.chmod(0o755)
    assert closed_to(home / "app", NOBODY, NOBODY) is None
