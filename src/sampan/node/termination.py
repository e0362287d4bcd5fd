"""Termination messages. Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/"""

from __future__ import annotations

from pathlib import Path

from sampan.api.meta import Obj
from sampan.node.container import log_path, termination_log
from sampan.node.logs import tail
from sampan.node.runtime.types import ContainerState

MAX_MESSAGE = 4096  # bytes
MAX_LOG_BYTES, MAX_LOG_LINES = 2048, 80


def termination_message(directory: Path, container: Obj, state: ContainerState) -> str:
    """What an ended attempt left in its terminationMessagePath, or the end of its log where the policy says so."""
    try:
        text = termination_log(directory, state.name, state.attempt).read_bytes()[:MAX_MESSAGE]
    except OSError:
        text = b""
    if not text and state.exit_code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        text = tail(log_path(directory, state.name, state.attempt), MAX_LOG_LINES)[-MAX_LOG_BYTES:]
    return text.decode(errors="replace")
