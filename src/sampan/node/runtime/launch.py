"""Two forks to a process in a container: the first joins the namespaces, the second is the process itself.

The first is needed because a PID namespace takes effect for children only. Both talk to the spawner over one channel:
{"pid": the second's pid on the machine}, {"error", "code"}, or a pty's master; its end without an error is a
successful execve. The second waits for "go" before that, so that its record is on disk earlier than its first act.
Standard library only. Source: pid_namespaces(7), capabilities(7).
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from sampan.base.netns import libc
from sampan.node.runtime.types import ContainerSpec

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NO_FILES = (65_536, 1_048_576)
PR_SET_KEEPCAPS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 8, 23, 24, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION_3 = 0x20080522
DEFAULT_CAPABILITIES = frozenset(
    (
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE"),
        *("NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP"),
    )
)
CAPABILITIES = (  # by number, from 0
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)


class Failure(Exception):
    """The process cannot be run; `code` is what its container ends with."""

    def __init__(self, message: str, code: int = 128) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Plan:
    """What to run and as whom. `join` runs in the first process, `prepare` in the second, both before the user is set.

    `stdio` are descriptors for 0, 1 and 2; None makes a pty and sends its master to the spawner.
    """

    spec: ContainerSpec
    argv: tuple[str, ...]
    stdio: tuple[int, int, int] | None
    join: Callable[[], None]
    prepare: Callable[[], None]


def launch(plan: Plan) -> socket.socket:
    """Fork; returns our end of the channel (not blocking)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _first(plan, theirs)
    theirs.close()
    ours.setblocking(False)
    return ours


def _first(plan: Plan, channel: socket.socket) -> NoReturn:
    try:
        plan.join()
        pid = os.fork()
        if pid:
            channel.send(json.dumps({"pid": pid}).encode())
        else:
            _second(plan, channel)
    except BaseException as error:
        _tell(channel, error)
    os._exit(0)


def _second(plan: Plan, channel: socket.socket) -> NoReturn:
    code = 128
    try:
        _reset_signals()
        os.umask(0o022)
        plan.prepare()
        os.setsid()
        environment = _environment(plan.spec, tty=plan.stdio is None)
        _stdio(plan, channel)
        if channel.recv(16) != b"go":
            os._exit(code)
        _become(plan.spec)
        _execute(plan, environment)
    except BaseException as error:
        code = _tell(channel, error)
    os._exit(code)


def _tell(channel: socket.socket, error: BaseException) -> int:
    code = error.code if isinstance(error, Failure) else 128
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error) or repr(error)
    try:
        channel.send(json.dumps({"error": text[:4096], "code": code}).encode())
    except OSError:  # the spawner has gone: nobody to tell
        pass
    return code


def _reset_signals() -> None:
    """Python ignores SIGPIPE and the spawner some more; an ignored signal would stay so over execve."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except OSError:  # the two that libc keeps for its threads
            pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _environment(spec: ContainerSpec, *, tty: bool) -> dict[str, str]:
    """The container's variables, and those every runtime adds when they are not given."""
    added = {"PATH": PATH, "HOSTNAME": os.uname().nodename, "HOME": _home(spec.uid)}
    return {**added, **({"TERM": "xterm"} if tty else {}), **dict(spec.env)}


def _home(uid: int) -> str:
    try:
        with open("/etc/passwd", errors="replace") as file:
            for line in file:
                fields = line.rstrip("\n").split(":")
                if len(fields) > 5 and fields[2] == str(uid):
                    return fields[5] or "/"
    except OSError:
        pass
    return "/"


def _stdio(plan: Plan, channel: socket.socket) -> None:
    stdio = plan.stdio
    if stdio is None:
        terminal = _terminal(plan.spec.uid, channel)
        stdio = (terminal, terminal, terminal)
    held = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in stdio]  # so that none is overwritten below
    for target, fd in enumerate(held):
        os.dup2(fd, target)


def _terminal(uid: int, channel: socket.socket) -> int:
    """A pty of the container's own /dev/pts as the controlling terminal."""
    master, slave = os.openpty()
    os.fchown(slave, uid, -1)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    socket.send_fds(channel, [b"{}"], [master])
    os.close(master)
    return slave


def _become(spec: ContainerSpec) -> None:
    allowed = capabilities(spec)
    for number, name in enumerate(CAPABILITIES):
        if name not in allowed and libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    most = min(NO_FILES[1], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(NO_FILES[0], most), most))
    os.setgroups(spec.groups)
    os.setresgid(spec.gid, spec.gid, spec.gid)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(spec.uid, spec.uid, spec.uid)
    if spec.uid and (kept := ambient(spec)):
        _keep(kept)
    if spec.no_new_privileges:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def ambient(spec: ContainerSpec) -> frozenset[str]:
    """What a program that is not root keeps. Images people know run as root in Kubernetes; here the same image runs as
    nobody, and would miss the capabilities its manifest adds, and raw sockets of the pod's own network (pings)."""
    wanted = {name.upper().removeprefix("CAP_") for name in spec.add_capabilities}
    return capabilities(spec) & (wanted if spec.no_new_privileges else wanted | {"NET_RAW"})


def _keep(names: frozenset[str]) -> None:
    bits = sum(1 << CAPABILITIES.index(name) for name in names)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    if libc.capset(header, struct.pack("6I", low, low, low, high, high, high)) == 0:
        for name in names:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAPABILITIES.index(name), 0, 0)


def capabilities(spec: ContainerSpec) -> frozenset[str]:
    """The names (without CAP_) a container's programs may ever have. ALL is taken first, then add, then drop."""
    if spec.privileged:
        return frozenset(CAPABILITIES)
    add = {name.upper().removeprefix("CAP_") for name in spec.add_capabilities}
    drop = {name.upper().removeprefix("CAP_") for name in spec.drop_capabilities}
    base = frozenset(CAPABILITIES) if "ALL" in add else DEFAULT_CAPABILITIES
    return (((frozenset() if "ALL" in drop else base) | add) - drop) & frozenset(CAPABILITIES)


def _execute(plan: Plan, environment: dict[str, str]) -> NoReturn:
    cwd = plan.spec.cwd or "/"
    try:
        os.chdir(cwd)
    except OSError as error:
        raise Failure(f'chdir to cwd ("{cwd}") failed: {_why(error)}{_blame(cwd, plan.spec)}') from None
    path = find(plan.argv[0], environment["PATH"])
    try:
        os.execve(path, list(plan.argv), environment)
    except PermissionError:
        raise Failure(f'exec: "{plan.argv[0]}": permission denied{_blame(path, plan.spec)}', 126) from None
    except FileNotFoundError:  # the file is there: its interpreter is not
        raise Failure(f'exec: "{path}": no such file or directory (the interpreter it names is missing)', 127) from None
    except OSError as error:
        raise Failure(f'exec: "{path}": {_why(error)}') from None


def find(name: str, search: str) -> str:
    """The file that `name` means, looked up in the present root. Raises Failure 127, or 126 when it may not be run."""
    if not name:
        raise Failure("no command specified", 127)
    if "/" in name:
        try:
            if os.path.isdir(name):
                raise Failure(f'exec: "{name}": is a directory', 126)
            os.stat(name)
        except PermissionError:
            pass  # execve says it, with the hint
        except OSError as error:
            raise Failure(f'exec: "{name}": stat {name}: {_why(error)}', 127) from None
        return name
    for directory in search.split(":"):
        path = os.path.join(directory or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise Failure(f'exec: "{name}": executable file not found in $PATH', 127)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _blame(path: str, spec: ContainerSpec) -> str:
    """Which file or directory on the way refuses the user."""
    path = os.path.realpath(path)
    steps = [path[:at] or "/" for at in range(len(path)) if path[at] == "/"] + [path]
    for step in steps:
        if not os.access(step, os.X_OK):
            return f" (user {spec.uid} lacks execute permission on {step}; chmod it or set runAsUser)"
    return ""
