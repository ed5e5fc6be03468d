"""The command line. Errors are one clear line on standard error: exit code 2 for wrong use, 1 for a failure."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from usassist import __version__
from usassist.app.commands.bench import bench_app
from usassist.app.commands.engine import bench, quantize
from usassist.app.commands.engine_build import build, cache_app
from usassist.app.commands.engine_conformance import conformance
from usassist.app.commands.engine_verify import verify
from usassist.app.commands.evaluate import evaluate_app
from usassist.app.commands.evaluate_text import text
from usassist.app.commands.keys import keys_app
from usassist.app.commands.live import live
from usassist.app.commands.modalities import modalities_app
from usassist.app.commands.options import (
    BackendOption,
    BusOption,
    CalibrationOption,
    ConfigOption,
    DeinterlaceOption,
    EngineOption,
    JsonOption,
    PointOption,
    PrecisionOption,
    complain,
    panel_config,
    read_settings,
    resolve_demo,
    say_where,
)
from usassist.app.commands.phantom import serve
from usassist.app.commands.replay import replay
from usassist.app.commands.rerun import rerun
from usassist.app.commands.session import session_app
from usassist.app.commands.sources import sources_app
from usassist.app.commands.train import train
from usassist.common.missing_library import explain_import_error
from usassist.errors import UsAssistError

__all__ = ["app", "main"]

app = typer.Typer(
    name="usassist",
    help="Real-time ultrasound streaming assistant. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_WITH_CONFIG = ("demo", "live", "overlay", "panel", "replay", "rerun")  # they read the settings that --config names
engine_app = typer.Typer(help="Engines and the back ends that run them.", no_args_is_help=True)
phantom_app = typer.Typer(help="The simulated scanner.", no_args_is_help=True)
app.add_typer(engine_app, name="engine")
app.add_typer(phantom_app, name="phantom")
phantom_app.command("serve")(serve)
app.command()(train)
app.command()(replay)
app.command()(live)
app.command()(rerun)
engine_app.command()(bench)
engine_app.command()(build)
engine_app.command()(conformance)
engine_app.add_typer(cache_app, name="cache")
engine_app.command()(quantize)
engine_app.command("verify")(verify)
evaluate_app.command()(text)
app.add_typer(evaluate_app, name="eval")
app.add_typer(sources_app, name="sources")
app.add_typer(session_app, name="session")
app.add_typer(bench_app, name="bench")
app.add_typer(keys_app, name="keys")
app.add_typer(modalities_app, name="modalities")


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
    if context.invoked_subcommand not in _WITH_CONFIG:
        read_settings(None)


@app.command()
def demo(
    clip: Annotated[str, typer.Argument(help="What to show, over and over.")] = "demo",
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    point: PointOption = None,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the page listens on.")] = None,
    calibration: CalibrationOption = None,
    deinterlace: DeinterlaceOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the page in the browser, with a clip playing over and over."""
    from usassist.app.runtime.demo import run_demo
    from usassist.app.runtime.open_stream import StreamOptions

    settings = read_settings(config)
    source, calibration = resolve_demo(clip, calibration)
    run_demo(
        StreamOptions(
            source=source,
            bus=settings.bus.address,
            engine=engine or settings.stream.engine,
            backend=backend or settings.stream.backend,
            precision=precision or settings.stream.precision,
            point=point or settings.stream.point,
            threads=settings.stream.threads,
            max_age_ms=settings.stream.max_age_ms,
            deadline_s=settings.stream.deadline_s,
            calibration=calibration,
            deinterlace=deinterlace,
            repeat=True,
        ),
        panel=panel_config(settings.panel, host, port),
        on_ready=say_where,
    )


@app.command()
def panel(
    bus: BusOption = None,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the page listens on.")] = None,
    config: ConfigOption = None,
) -> None:
    """Show the page in the browser for a stream that is running or will run."""
    from usassist.frames.burnt_text import find_text_boxes
    from usassist.modalities import stream_titles
    from usassist.sinks.panel import run_panel

    settings = read_settings(config)
    shown = panel_config(settings.panel, host, port)
    run_panel(
        bus or settings.bus.address or "ipc",
        shown,
        modality=stream_titles(),
        find_text=find_text_boxes,
        on_ready=say_where,
    )


@app.command()
def overlay(bus: BusOption = None, config: ConfigOption = None) -> None:
    """Show the overlay window for a stream that is running or will run."""
    from usassist.common.signals import stop_on_signal
    from usassist.sinks.overlay.window import run_window

    settings = read_settings(config)
    with stop_on_signal() as stop:
        run_window(bus or settings.bus.address or "ipc", stop)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Look whether everything that usassist needs is here, and say what to do where it is not."""
    from usassist.app.commands.doctor import examine, print_findings

    findings = examine()
    if as_json:
        typer.echo(
            json.dumps({"ok": all(item.ok for item in findings), "checks": [item.as_dict() for item in findings]})
        )
    else:
        print_findings(findings)
    raise typer.Exit(0 if all(item.ok for item in findings if item.needed) else 1)


@engine_app.command("list")
def engine_list(as_json: JsonOption = False) -> None:
    """List engines, and the back ends that can or cannot run here."""
    from usassist.app.commands.report import engine_table, print_engine_table

    table = engine_table()
    if as_json:
        typer.echo(json.dumps(table, indent=2))
    else:
        print_engine_table(table)


@phantom_app.command("render")
def phantom_render(
    out: Annotated[Path, typer.Argument(help="Video file to write, .mkv; the truth goes beside it.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Length.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clip.")] = 1,
    lossless: Annotated[bool, typer.Option("--lossless", help="FFV1 instead of a compact codec.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Render a clip of the simulated scanner, with the truth about every frame."""
    from usassist.app.commands.report import render_with_progress

    written = render_with_progress(out, seconds=seconds, seed=seed, lossless=lossless, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(written))


def main() -> None:
    """Entry of the command ``usassist``."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a broken picture is reported by us, once
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of compact copies talks a lot
    try:
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
    complain(message)
    return code
