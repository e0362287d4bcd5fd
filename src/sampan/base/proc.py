"""Running other programs."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence

from sampan.base.errors import ProcessError, UserError


async def run(argv: Sequence[str], stdin: bytes = b"") -> bytes:
    """Run a program to its end and return its stdout.

    Raises ProcessError on an exit code other than 0, UserError when the program is not installed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise UserError(f"the program {argv[0]} is not installed", f"install the package that has {argv[0]}") from None
    out, err = await process.communicate(stdin)
    if process.returncode:
        raise ProcessError(argv, process.returncode, err.decode(errors="replace"))
    return out


def run_now(argv: Sequence[str], stdin: bytes = b"") -> bytes:
    """The same, blocking: for start-up and command line code."""
    try:
        done = subprocess.run(list(argv), input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError(f"the program {argv[0]} is not installed", f"install the package that has {argv[0]}") from None
    if done.returncode:
        raise ProcessError(argv, done.returncode, done.stderr.decode(errors="replace"))
    return done.stdout
