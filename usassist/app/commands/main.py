"""The command line. Errors are one clear line on standard error: exit code 2 for wrong use, 1 for a failure."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from usassist import __version__
from usassist.app.commands.bench import bench_app
from usassist.app.commands.calibrate import calibrate_app
from usassist.app.commands.ct import ct_app
from usassist.app.commands.deidentify import deidentify
from usassist.app.commands.demo import demo
from usassist.app.commands.doctor import doctor
from usassist.app.commands.engine import engine_app
from usassist.app.commands.evaluate import evaluate_app
from usassist.app.commands.export import export_app
from usassist.app.commands.keys import keys_app
from usassist.app.commands.live import live
from usassist.app.commands.modalities import modalities_app
from usassist.app.commands.openigtlink import openigtlink
from usassist.app.commands.options import print_error, read_settings
from usassist.app.commands.overlay import overlay
from usassist.app.commands.pacs import pacs_app
from usassist.app.commands.panel import panel
from usassist.app.commands.panel_password import panel_password
from usassist.app.commands.phantom import phantom_app
from usassist.app.commands.replay import replay
from usassist.app.commands.report import report
from usassist.app.commands.rerun import rerun
from usassist.app.commands.session import session_app
from usassist.app.commands.snapshot import snapshot
from usassist.app.commands.sources import sources_app
from usassist.app.commands.train import train
from usassist.app.commands.view import view
from usassist.common.missing_library import explain_import_error
from usassist.common.signals import terminated_in_order
from usassist.errors import UsAssistError

__all__ = ["app", "main"]

_WITH_CONFIG = (
    demo,
    live,
    openigtlink,
    overlay,
    panel,
    replay,
    rerun,
    view,
)  # they read the settings that --config names
_GROUPS = {
    "engine": engine_app,
    "phantom": phantom_app,
    "eval": evaluate_app,
    "sources": sources_app,
    "session": session_app,
    "export": export_app,
    "bench": bench_app,
    "calibrate": calibrate_app,
    "keys": keys_app,
    "modalities": modalities_app,
    "ct": ct_app,
    "pacs": pacs_app,
}

app = typer.Typer(
    name="usassist",
    help="Real-time ultrasound streaming assistant. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    train,
    replay,
    live,
    view,
    rerun,
    report,
    snapshot,
    demo,
    panel,
    panel_password,
    overlay,
    openigtlink,
    doctor,
    deidentify,
)
for command in _COMMANDS:
    app.command()(command)
for name, group in _GROUPS.items():
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    """Set up logging."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="usassist: %(name)s: %(message)s")
    if version:
        typer.echo(f"usassist {__version__}")
        raise typer.Exit
    if context.invoked_subcommand not in [command.__name__ for command in _WITH_CONFIG]:
        read_settings(None)


def main() -> None:
    """Entry point of the command ``usassist``."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # usassist reports a broken image itself, once
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of compact copies is verbose
    try:
        with terminated_in_order():
            code = app(standalone_mode=False)
    except UsAssistError as error:
        sys.exit(_fail(str(error), error.exit_code))
    except TyperException as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        sys.exit(_fail(f"{text.rstrip('.')}; see usassist --help", 2) if text else 2)  # no text: the help was shown
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(_fail("stopped", 130))
    except ImportError as error:
        sys.exit(_fail(explain_import_error(error), 1))
    except BrokenPipeError:
        os._exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    if "--json" in sys.argv and "eval" not in sys.argv[1:3]:  # there it names a file
        sys.stdout.write(json.dumps({"error": message}) + "\n")
    print_error(message)
    return code
