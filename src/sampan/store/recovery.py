"""Opening the file with doubt: is it as we left it? If not, it is set aside and its newest backup takes its place.

Beside `store.db`, as SQLite and we need them:

    store.db-lock                 held while somebody has the store open
    store.db-closed               size and times of the file at its last orderly end: nobody touched it since
    backups/REVISION.db           copies made while it was in use (`backup.py`)
    store.db.damaged-WHEN         what was set aside, with …-wal when there was one
    store.db.restored-WHEN.txt    what happened then, for people (`restorations`)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sampan.base import log
from sampan.base.errors import StoreUnavailable, UserError
from sampan.base.fs import write_atomic
from sampan.store import rows
from sampan.store.backup import backups
from sampan.store.disk import Damaged, Disk, cannot_open
from sampan.store.types import Record

_log = log.get("store")

# How far revisions jump at a restore: past all that may have been acknowledged since the backup.
_JUMP = 1_000_000

Opened = tuple[Disk, int, int, list[Record]]


def open_disk(path: Path, now: datetime) -> Opened:
    """(file, newest revision, compacted, current records). Restores a damaged file from its newest good backup.

    Raises UserError when the file cannot be opened, or is damaged and no backup is good.
    """
    lock = _lock(path)
    try:
        verify = not _as_it_was_closed(path)
        Path(f"{path}-closed").unlink(missing_ok=True)
        try:
            if _lost(path):
                raise Damaged(
                    f"the store {path} is gone or empty", f"put it back, or start empty: rm -r {path.parent}/backups"
                )
            return _open(path, lock, verify)
        except Damaged as damage:
            _restore(path, lock, damage, now)
            return _open(path, lock, verify=True)
    except OSError as error:
        os.close(lock)
        raise cannot_open(path, error) from error
    except BaseException:
        os.close(lock)
        raise


def mark_closed(path: Path) -> None:
    """Note how the file was left. Without the note, or with a wrong one, the next opening looks at every page."""
    try:
        write_atomic(Path(f"{path}-closed"), _fingerprint(path).encode())
    except OSError as error:
        _log.warning("cannot note that the store was closed in order: %s", error)


def restorations(path: Path) -> list[Path]:
    """Reports of restores of this store, oldest first; deleting one says that it has been read."""
    return sorted(path.parent.glob(f"{path.name}.restored-*.txt"))


def put_in_place(path: Path, source: Path, now: datetime) -> int:
    """Replace a store that nobody has open by a backup; what was there is set aside. The newest revision it has.

    Raises UserError when `source` is no good or the store is in use.
    """
    lock = _lock(path)
    try:
        _check(source)
        if path.exists():
            _set_aside(path, "replaced", now)
        return _install(path, lock, source)
    except OSError as error:
        raise cannot_open(path, error) from error
    finally:
        os.close(lock)


def _open(path: Path, lock: int, verify: bool) -> Opened:
    disk = Disk(path, lock)
    return (disk, *disk.load(verify))


def _as_it_was_closed(path: Path) -> bool:
    try:
        return Path(f"{path}-closed").read_text() == _fingerprint(path)
    except OSError:
        return False


def _fingerprint(path: Path) -> str:
    found = path.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _lost(path: Path) -> bool:
    """There are backups of it, but it is not there: SQLite would silently begin anew."""
    return bool(backups(path)) and (not path.exists() or path.stat().st_size == 0)


def _restore(path: Path, lock: int, damage: Damaged, now: datetime) -> None:
    """Put the newest good backup in the file's place. Raises Damaged when there is none."""
    for source in reversed(backups(path)):
        try:
            _check(source)
        except UserError as error:
            _log.warning("%s", error)
            continue
        aside = _set_aside(path, "damaged", now)
        saved = _readable_after(aside, int(source.stem))
        revision = _install(path, lock, source, saved)
        report = _report(path, damage, aside, source, revision, now)
        _log.error("%s", report)
        write_atomic(Path(f"{path}.restored-{_stamp(now)}.txt"), report.encode() + b"\n")
        return
    raise damage


def _check(source: Path) -> None:
    """Raises UserError unless this file is a whole store."""
    try:
        connection = sqlite3.connect(f"file:{source}?mode=ro&immutable=1", uri=True)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            bad = [r[0] for r in connection.execute(rows.NEWEST) if not rows.intact(r)]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UserError(f"{source} is no backup of a store: {error}", "sampan backup FILE makes one") from None
    if found != "ok" or bad:
        raise UserError(f"the backup {source} is damaged: {found if found != 'ok' else f'revision {bad[0]}'}")


def _set_aside(path: Path, word: str, now: datetime) -> Path:
    aside = Path(f"{path}.{word}-{_stamp(now)}")
    for side in ("", "-wal"):
        if Path(f"{path}{side}").exists():
            os.replace(f"{path}{side}", f"{aside}{side}")
    Path(f"{path}-shm").unlink(missing_ok=True)
    return aside


def _install(path: Path, lock: int, source: Path, more: Sequence[rows.Row] = ()) -> int:
    """Put a copy of `source`, with `more` rows, in place. The newest revision of it; the next one is far beyond."""
    temporary = Path(f"{path}.restoring")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o600)
    disk = Disk(temporary, lock)
    try:
        revision, *_ = disk.load(verify=False)
        if more:
            disk.insert(more)
            revision = more[-1][0]
        disk.skip_to(revision + _JUMP)
    except StoreUnavailable as error:
        raise UserError(str(error)) from error
    finally:
        disk.disconnect()
    os.replace(temporary, path)
    return revision


def _report(path: Path, damage: Damaged, aside: Path, source: Path, revision: int, now: datetime) -> str:
    newest = _newest_of(aside)
    until = f"{newest}" if newest else "the last one"
    if newest and newest <= revision:
        lost = "Nothing that was acknowledged is lost."
    else:
        lost = f"Writes from revision {revision + 1} to {until} are lost."
    taken = datetime.fromtimestamp(source.stat().st_mtime).astimezone()
    kept = f"The damaged file is kept as {aside}." if aside.exists() else ""
    return (
        f"{damage.message}. At {now.astimezone():%Y-%m-%d %H:%M:%S} it was restored from the backup of "
        f"{taken:%Y-%m-%d %H:%M:%S} (revision {int(source.stem)}). {lost} {kept} "
        f"Watches begin anew; new writes count from revision {revision + _JUMP + 1}."
    ).replace("  ", " ")


def _readable_after(aside: Path, revision: int) -> list[rows.Row]:
    """What a damaged file still has of the writes after a revision, up to the first that is missing or wrong."""
    found: list[rows.Row] = []
    try:
        connection = sqlite3.connect(aside)
        try:
            query = f"SELECT {rows.COLUMNS} FROM log WHERE id > ? ORDER BY id"
            for one in connection.execute(query, (revision,)):
                if one[0] != revision + len(found) + 1 or not rows.intact(one):
                    break
                found.append(one)
        finally:
            connection.close()
    except sqlite3.Error:
        pass  # that was all
    return found


def _newest_of(aside: Path) -> int:
    """The newest revision in a damaged file, 0 when it cannot be read."""
    try:
        connection = sqlite3.connect(aside)
        try:
            (found,) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
            return int(found)
        finally:
            connection.close()
    except (sqlite3.Error, TypeError, ValueError):
        return 0


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}"


def _lock(path: Path) -> int:
    """A file of its own that keeps a second process out; the kernel lets go of it however we end."""
    try:
        fd = os.open(f"{path}-lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_open(path, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise UserError(
            f"the store {path} is in use by another process",
            f"stop it first (sampan down); `fuser {path}` names it",
        ) from None
    return fd
