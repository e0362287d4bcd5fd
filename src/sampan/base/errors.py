"""The error tree of sampan.

    SampanError
    ├── UserError            the user can mend it; shown as `error: … / hint: …`, exit status 1, never a traceback
    ├── StoreError
    │   ├── Conflict         compare-and-swap lost; `.current` is the record that won (or None)
    │   ├── Compacted        the revision asked for is older than what is kept; `.oldest` is the first kept
    │   └── StoreUnavailable the disk refused (full, read-only); reads still work
    ├── ProcessError         a program we ran failed; `.argv`, `.code`, `.stderr`
    └── api.status.ApiError  a Kubernetes Status (row 1 adds this branch)

Third-party errors are translated into this tree where the library is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class SampanError(Exception):
    """Anything sampan raises on purpose."""


class UserError(SampanError):
    """A mistake or a missing piece the user can mend. `hint` is the one command or field that mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class StoreError(SampanError):
    """The store could not do what was asked."""


class Conflict(StoreError):
    """The record is not at the expected revision. `current` is what is there (None: nothing)."""

    def __init__(self, key: str, current: Any = None) -> None:
        super().__init__(f"conflict at {key}")
        self.key = key
        self.current = current


class Compacted(StoreError):
    """The revision asked for is no longer kept."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"revision {asked} has been compacted, oldest kept is {oldest}")
        self.asked = asked
        self.oldest = oldest


class StoreUnavailable(StoreError):
    """The disk refused a write (full, read-only, damaged). Nothing acknowledged was lost."""


class ProcessError(SampanError):
    """A program ended with a code other than 0."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"{argv[0]} exited with {code}: {stderr.strip() or 'no message'}")
        self.argv = tuple(argv)
        self.code = code
        self.stderr = stderr
