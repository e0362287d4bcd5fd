"""What `--help` prints: brackets are markup to the help's renderer, and text in them is lost unless escaped."""

import pytest

from sampan.cli.app import main


@pytest.mark.parametrize(
    ("command", "default"),
    [
        (("up",), "[default: 1, or as before]"),
        (("up",), "[default: 24h,256M]"),
        (("status",), "[default: /var/lib/sampan]"),
        (("image", "register"), "[default: the person behind sudo, else the directory's owner]"),
    ],
)
def test_help_shows_the_default(command, default, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    main([*command, "--help"])
    assert default in " ".join(capsys.readouterr().out.split())
