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
    given = subprocess.PIPE if stdin else subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise UserError(f"the program {argv[0]} is not installed", f"install the package that has {argv[0]}") from None
    try:
        out, err = await process.communicate(stdin or None)
    except RuntimeError:  # uvloop's word for a pipe that is closed: the program was gone before it was given anything
        raise ProcessError(argv, await process.wait(), "it ended without reading its input") from None
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
