"""Logging: one line an event, to stderr; processes of a cluster write it to their log file."""

from __future__ import annotations

import logging
import sys


def get(name: str) -> logging.Logger:
    """The logger of a room: `log.get("dns")`."""
    return logging.getLogger(f"sampan.{name}")


def setup(process: str, level: int = logging.INFO) -> None:
    """Send all log lines of this process to stderr, marked with the process's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {process} %(levelname).1s %(name)s: %(message)s"))
    root = logging.getLogger("sampan")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
