"""One Envoy for all tests of a file: each gives it what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from envoylab import EnvoyLab


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyLab]:
    lab = EnvoyLab(Path(tmp_path_factory.mktemp("envoy")))
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def lab(envoy: EnvoyLab) -> EnvoyLab:
    """Files with a configuration for all of their tests push it here."""
    return envoy
