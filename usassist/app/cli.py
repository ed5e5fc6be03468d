"""The command line. Errors are one clear line on standard error: exit code 2 for wrong use, 1 for a failure."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from usassist import __version__
from usassist.app.bench_faults import bench_app
from usassist.app.build import build, cache_app
from usassist.app.engines import FolderOption, bench, quantize
from usassist.app.evaluate import evaluate_app
from usassist.app.native import explain_import_error
from usassist.app.phantom_serve import serve
from usassist.app.sources import sources_app
from usassist.app.text_check import text
from usassist.app.train import train
from usassist.app.verify import verify
from usassist.config import load_config
from usassist.errors import UsageError, UsAssistError

__all__ = ["app", "main"]

app = typer.Typer(
    name="usassist",
    help="Real-time ultrasound streaming assistant. Research use only; not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
engine_app = typer.Typer(help="Engines and the back ends that run them.", no_args_is_help=True)
phantom_app = typer.Typer(help="The simulated scanner.", no_args_is_help=True)
app.add_typer(engine_app, name="engine")
app.add_typer(phantom_app, name="phantom")
phantom_app.command("serve")(serve)
app.command()(train)
engine_app.command()(bench)
engine_app.command()(build)
engine_app.add_typer(cache_app, name="cache")
engine_app.command()(quantize)
engine_app.command("verify")(verify)
evaluate_app.command()(text)
app.add_typer(evaluate_app, name="eval")
app.add_typer(sources_app, name="sources")
app.add_typer(bench_app, name="bench")

EngineOption = Annotated[str | None, typer.Option(help="Engine: NAME or NAME@VERSION.")]
BackendOption = Annotated[str | None, typer.Option(help="Back end, or auto.")]
PrecisionOption = Annotated[str | None, typer.Option(help="fp32, int8 or auto: INT8 where it can run.")]
PointOption = Annotated[str | None, typer.Option(help="Operating point: sensitive, balanced or quiet; or auto.")]
BusOption = Annotated[str | None, typer.Option(help="Bus address: ipc, ipc:///FOLDER or tcp://127.0.0.1:PORT.")]
ConfigOption = Annotated[Path | None, typer.Option(help="Settings file (TOML).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


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


@app.command()
def replay(
    clip: Annotated[str, typer.Argument(help="Video file, folder of pictures, demo, phantom:… or null:…")],
    out: Annotated[Path | None, typer.Option(help="Session folder, new or empty [default: out/SESSION].")] = None,
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    point: PointOption = None,
    threads: Annotated[int | None, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")] = None,
    engines: FolderOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="Answer every frame as fast as possible.")] = False,
    repeat: Annotated[bool, typer.Option("--repeat", help="Start again at the end.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    crop: Annotated[str, typer.Option(help="Scan area: auto, none or X1,Y1,X2,Y2.")] = "auto",
    calibration: Annotated[str | None, typer.Option(help="Geometry calibration: name or file.")] = None,
    overlay_video: Annotated[bool, typer.Option("--overlay-video", help="Also write overlay.mkv.")] = False,
    window: Annotated[bool, typer.Option("--window", help="Also show the overlay in a window.")] = False,
    bus: Annotated[str | None, typer.Option(help="Publish here, so that overlay and panel can watch.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a clip through the live path: crop, engine, bus, recorder, overlay."""
    from usassist.app.replay import replay as run_replay
    from usassist.app.report import BarProgress, print_outcome
    from usassist.app.streaming import StreamOptions
    from usassist.config import has_display

    settings = load_config(config)
    if window and not has_display():
        raise UsageError("there is no display for a window here; use --overlay-video, or the panel in a browser")
    source, calibration = resolve_demo(clip, calibration)
    options = StreamOptions(
        source=source,
        bus=bus or "",
        engine=engine or settings.stream.engine,
        engines=None if engines is None else str(engines.resolve()),
        backend=backend or settings.stream.backend,
        precision=precision or settings.stream.precision,
        point=point or settings.stream.point,
        threads=settings.stream.threads if threads is None else threads,
        fast=fast,
        repeat=repeat,
        count=count,
        crop=crop,
        calibration=calibration,
        max_age_ms=settings.stream.max_age_ms,
    )
    folder = out if out is not None else Path("out") / options.session_id
    with BarProgress(quiet=as_json) as progress:
        outcome = run_replay(options, folder, overlay_video=overlay_video, window=window, progress=progress)
    if as_json:
        typer.echo(json.dumps(outcome.summary | {"files": outcome.files}, indent=2))
    else:
        print_outcome(outcome)
    if outcome.error is not None:
        _complain(outcome.error)
    raise typer.Exit(outcome.exit_code)


@app.command()
def live(
    source: Annotated[
        str, typer.Option(help="v4l2:/dev/video0, rtsp://…, udp://…, tcp://…, pipe:…, screen:…, or a clip.")
    ],
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    point: PointOption = None,
    threads: Annotated[int | None, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for every session.")] = Path("out"),
    record: Annotated[bool, typer.Option("--record/--no-record", help="Keep frames and results.")] = True,
    crop: Annotated[str, typer.Option(help="Scan area: auto or X1,Y1,X2,Y2.")] = "auto",
    calibration: Annotated[str | None, typer.Option(help="Geometry calibration: name or file.")] = None,
    uncalibrated: Annotated[
        bool, typer.Option("--uncalibrated", help="Show the whole screen; nothing is recorded or measured.")
    ] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page in the browser.")] = True,
    window: Annotated[bool, typer.Option("--window", help="Also show the overlay in a window.")] = False,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the page listens on.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    bus: Annotated[str | None, typer.Option(help="Publish here, so that others can watch.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a live scanner: grab, crop, engine, recorder and page, for ever, until Ctrl-C."""
    from usassist.app.live import LiveOptions, run_live
    from usassist.app.replay import stop_on_signal
    from usassist.app.report import print_live
    from usassist.app.streaming import StreamOptions
    from usassist.config import has_display
    from usassist.sources.inputs.address import is_live

    settings = load_config(config)
    source, calibration = resolve_demo(source, calibration)
    if window and not has_display():
        raise UsageError("there is no display for a window here; use the page in a browser")
    if uncalibrated and (calibration or crop != "auto"):
        raise UsageError("--uncalibrated shows the whole screen; leave out --crop and --calibration")
    if crop == "none" and is_live(source):
        raise UsageError("the whole screen of a scanner holds the patient's name; use --uncalibrated to look at it")
    stream = StreamOptions(
        source=source,
        bus=bus or "",
        engine=engine or settings.stream.engine,
        backend=backend or settings.stream.backend,
        precision=precision or settings.stream.precision,
        point=point or settings.stream.point,
        threads=settings.stream.threads if threads is None else threads,
        count=count,
        crop="none" if uncalibrated else crop,
        calibration=calibration,
        max_age_ms=settings.stream.max_age_ms,
    )
    options = LiveOptions(
        stream=stream,
        record_into=out.resolve() if record and not uncalibrated else None,
        panel=_panel_config(settings.panel, host, port) if page else None,
        window=window,
    )
    with stop_on_signal() as stop:
        report = run_live(
            options,
            stop,
            on_ready=_say_live,
            on_event=_complain,
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        print_live(report)
    if report.summary is not None and report.summary["state"] == "failed":
        _complain(report.summary["reason"])
        raise typer.Exit(1)


@app.command()
def demo(
    clip: Annotated[str, typer.Argument(help="What to show, over and over.")] = "demo",
    engine: EngineOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    point: PointOption = None,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the page listens on.")] = None,
    calibration: Annotated[str | None, typer.Option(help="Geometry calibration: name or file.")] = None,
    config: ConfigOption = None,
) -> None:
    """Show the page in the browser, with a clip playing over and over."""
    from usassist.app.demo import run_demo

    settings = load_config(config)
    source, calibration = resolve_demo(clip, calibration)
    run_demo(
        source,
        engine=engine or settings.stream.engine,
        backend=backend or settings.stream.backend,
        precision=precision or settings.stream.precision,
        point=point or settings.stream.point,
        calibration=calibration,
        panel=_panel_config(settings.panel, host, port),
        on_ready=_say_where,
    )


@app.command()
def panel(
    bus: BusOption = None,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the page listens on.")] = None,
    config: ConfigOption = None,
) -> None:
    """Show the page in the browser for a stream that is running or will run."""
    from usassist.sinks.panel import run_panel

    settings = load_config(config)
    run_panel(bus or settings.bus.address, _panel_config(settings.panel, host, port), on_ready=_say_where)


@app.command()
def overlay(bus: BusOption = None, config: ConfigOption = None) -> None:
    """Show the overlay window for a stream that is running or will run."""
    from usassist.app.replay import stop_on_signal
    from usassist.sinks.overlay.window import run_window

    settings = load_config(config)
    with stop_on_signal() as stop:
        run_window(bus or settings.bus.address, stop)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Look whether everything that usassist needs is here, and say what to do where it is not."""
    from usassist.app.doctor import examine, print_findings

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
    from usassist.app.report import engine_table, print_engine_table

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
    from usassist.app.report import render_with_progress

    written = render_with_progress(out, seconds=seconds, seed=seed, lossless=lossless, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(written))


def resolve_demo(clip: str, calibration: str | None) -> tuple[str, str | None]:
    """Put the bundled clip and its calibration in the place of the word ``demo``."""
    from usassist.config import resource_dir

    if clip != "demo":
        return clip, calibration
    return f"clip:{resource_dir('demo') / 'clip.mkv'}", calibration or "phantom_demo"


def main() -> None:
    """Entry of the command ``usassist``."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # a broken picture is reported by us, once
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
    _complain(message)
    return code


def _complain(message: str) -> None:
    sys.stderr.write(f"usassist: {' '.join(message.split())}\n")


def _say_where(url: str) -> None:
    sys.stderr.write(f"usassist: the page is at {url} — Ctrl-C ends it\n")


def _say_live(url: str) -> None:
    if url:
        _say_where(url)
    else:
        sys.stderr.write("usassist: live — Ctrl-C ends it\n")


def _panel_config(settings: Any, host: str | None, port: int | None) -> Any:
    changes = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    return dataclasses.replace(settings, **changes)
