"""The command ``usassist live``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import (
    BackendSetting,
    CalibrationOption,
    ConfigOption,
    CountOption,
    DeinterlaceOption,
    EachFrameAloneSetting,
    EngineSetting,
    FullScreenOption,
    JsonOption,
    OpenIgtLinkOption,
    PointSetting,
    PrecisionSetting,
    ScaleSetting,
    ThreadsSetting,
    WindowOption,
    override_overlay,
    print_error,
    print_page_address,
    read_settings,
    resolve_demo,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.errors import UsageError

__all__ = ["live"]

_UNCALIBRATED = "the whole screen is shown, with the patient's name on it; nothing is recorded with --uncalibrated"


@takes_page_options
def live(
    source: Annotated[
        str,
        typer.Option(
            help="v4l2:/dev/video0, rtsp://…, udp://…, tcp://…, openigtlink://…, pipe:…, screen:…, or a clip."
        ),
    ],
    engine: EngineSetting = None,
    backend: BackendSetting = None,
    precision: PrecisionSetting = None,
    point: PointSetting = None,
    each_frame_alone: EachFrameAloneSetting = None,
    threads: ThreadsSetting = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder that gets a folder for every recording. [default: of [record], or out]")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record from the beginning, or when somebody asks for it.")
    ] = True,
    crop: Annotated[str, typer.Option(help="Scan area: auto or X1,Y1,X2,Y2.")] = "auto",
    calibration: CalibrationOption = None,
    scale: ScaleSetting = None,
    deinterlace: DeinterlaceOption = False,
    uncalibrated: Annotated[
        bool, typer.Option("--uncalibrated", help="Show the whole screen; nothing is recorded or measured.")
    ] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page in the browser.")] = True,
    window: WindowOption = False,
    full_screen: FullScreenOption = False,
    page_options: PageOptions = NO_OPTIONS,
    openigtlink: OpenIgtLinkOption = None,
    count: CountOption = None,
    bus: Annotated[str | None, typer.Option(help="Publish here, so that others can watch.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a live scanner: grab, crop, engine, recorder and page, until Ctrl-C."""
    from usassist.app.commands.live_report import print_live
    from usassist.app.runtime.live_session import LiveOptions, run_live
    from usassist.app.runtime.open_stream import StreamOptions
    from usassist.common.signals import stop_on_signal
    from usassist.sources.inputs.address import as_live_source, is_live

    settings = read_settings(config)
    source, calibration = resolve_demo(as_live_source(source), calibration)
    try:
        shown = override_overlay(
            settings.overlay, window=window, full_screen=full_screen, instead="the page in a browser"
        )
    except UsageError as error:  # the stream does not depend on its viewers
        print_error(f"{error}; the stream goes on without it")
        shown = None
    if uncalibrated and (calibration or crop != "auto"):
        raise UsageError("--uncalibrated shows the whole screen; leave out --crop and --calibration")
    if crop == "none" and is_live(source):
        raise UsageError("the whole screen of a scanner holds the patient's name; use --uncalibrated to look at it")
    stream = StreamOptions(
        source=source,
        bus=bus or settings.bus.address,
        engine=engine or settings.stream.engine,
        backend=backend or settings.stream.backend,
        precision=precision or settings.stream.precision,
        point=point or settings.stream.point,
        each_frame_alone=settings.stream.each_frame_alone if each_frame_alone is None else each_frame_alone,
        threads=settings.stream.threads if threads is None else threads,
        count=count,
        crop="none" if uncalibrated else crop,
        calibration=calibration,
        scale="none" if uncalibrated else scale or settings.stream.scale,
        max_age_ms=settings.stream.max_age_ms,
        deinterlace=deinterlace,
        deadline_s=settings.stream.deadline_s,
    )
    options = LiveOptions(
        stream=stream,
        record_into=None if uncalibrated else (out or Path(settings.record.folder)).resolve(),
        panel=page_options.override(settings.panel) if page else None,
        record_at_start=record,
        record_refusal=_UNCALIBRATED if uncalibrated else "",
        sources=settings.stream.sources,
        window=shown,
        openigtlink=None if openigtlink is None else dataclasses.replace(settings.openigtlink, port=openigtlink),
        record=settings.record,
        memory_limit_mb=settings.stream.memory_limit_mb,
    )
    with stop_on_signal() as stop:
        report = run_live(options, stop, on_ready=_print_ready, on_event=print_error)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        print_live(report)
    if report.summary is not None and report.summary["state"] == "failed":
        print_error(report.summary["reason"])
        raise typer.Exit(1)


def _print_ready(url: str) -> None:
    if url:
        print_page_address(url)
    else:
        sys.stderr.write("usassist: live — Ctrl-C ends it\n")
