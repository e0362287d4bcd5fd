"""Ctrl-C that is noted instead of raised."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Told:
    """Has a signal asked to end?

    Installed before much else happens: a KeyboardInterrupt that Python raises in the middle of an import or a finalizer
    may be swallowed there, a signal that is noted is not.
    """

    def __init__(self) -> None:
        self.told = False
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.told = True
