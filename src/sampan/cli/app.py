"""The table of verbs, and how their errors look: `error:` what failed, `hint:` what mends it, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import typer

from sampan.base.errors import SampanError, UserError
from sampan.cli import (
    backup,
    ca,
    convert,
    doctor,
    down,
    get,
    history,
    image,
    kubeconfig,
    proxy_config,
    proxy_status,
    route,
    status,
    trace,
    up,
)

app = typer.Typer(
    name="sampan",
    help="Kubernetes' service layer on this machine: no Docker, no VM, no cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("kubeconfig")(kubeconfig.kubeconfig)
app.command("ca")(ca.ca)
app.command("trace")(trace.trace)
app.command("route")(route.route)
app.command("proxy-status")(proxy_status.proxy_status)
app.command("proxy-config")(proxy_config.proxy_config)
app.command("history")(history.history)
app.command("get")(get.get)
app.command("convert")(convert.convert)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(image.app, name="image")


def main(arguments: Sequence[str]) -> int:
    try:
        result = app(list(arguments), prog_name="sampan", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        if message := error.format_message():  # none when it has shown the help instead
            _show(message, f"sampan {_verb(arguments)}--help")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except SampanError as error:
        _show(str(error), error.hint if isinstance(error, UserError) else "")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output went away
        return 1
    except Exception:
        if os.environ.get("SAMPAN_DEBUG"):
            traceback.print_exc()
        else:
            _show(repr(sys.exc_info()[1]), "this is a fault of sampan; SAMPAN_DEBUG=1 shows where")
        return 2


def _verb(arguments: Sequence[str]) -> str:
    """The verb that was meant, with a space behind it; "" when it is none of ours."""
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    return f"{arguments[0]} " if arguments and arguments[0] in known else ""


def _show(message: str, hint: str) -> None:
    red, dim, plain = ("\x1b[31m", "\x1b[2m", "\x1b[0m") if sys.stderr.isatty() else ("", "", "")
    print(f"{red}error:{plain} {message}", file=sys.stderr)
    if hint:
        print(f"{dim}hint:{plain}  {hint}", file=sys.stderr)
