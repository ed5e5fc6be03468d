"""The command ``usassist replay``."""

from __future__ import annotations

import json
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
    EnginesOption,
    FullScreenOption,
    JsonOption,
    PointSetting,
    PrecisionSetting,
    ScaleSetting,
    ThreadsSetting,
    WindowOption,
    override_overlay,
    print_error,
    read_settings,
    resolve_demo,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.app.commands.replay_session import is_session, refuse, replay_folder

__all__ = ["replay"]


@takes_page_options
def replay(
    clip: Annotated[
        str, typer.Argument(help="Video file, folder of images, recorded session, demo, phantom:… or null:…")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Session folder, new or empty (default: out/SESSION); of a session the video.")
    ] = None,
    engine: EngineSetting = None,
    backend: BackendSetting = None,
    precision: PrecisionSetting = None,
    point: PointSetting = None,
    each_frame_alone: EachFrameAloneSetting = None,
    threads: ThreadsSetting = None,
    engines: EnginesOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="Answer every frame as fast as possible.")] = False,
    repeat: Annotated[bool, typer.Option("--repeat", help="Start again at the end.")] = False,
    count: CountOption = None,
    crop: Annotated[str, typer.Option(help="Scan area: auto, none or X1,Y1,X2,Y2.")] = "auto",
    calibration: CalibrationOption = None,
    scale: ScaleSetting = None,
    deinterlace: DeinterlaceOption = False,
    overlay_video: Annotated[bool, typer.Option("--overlay-video", help="Also write overlay.mkv.")] = False,
    results_only: Annotated[
        bool, typer.Option("--results-only", help="Write results.jsonl and no session: faster, and smaller.")
    ] = False,
    window: WindowOption = False,
    full_screen: FullScreenOption = False,
    bus: Annotated[str | None, typer.Option(help="Publish here, for overlay and panel.")] = None,
    speed: Annotated[float | None, typer.Option(help="Of a session: 2 is twice as fast as it was.")] = None,
    from_s: Annotated[float | None, typer.Option("--from", help="Of a session: begin there, s.")] = None,
    to_s: Annotated[float | None, typer.Option("--to", help="Of a session: end there, s.")] = None,
    page: Annotated[bool, typer.Option("--page", help="Of a session: serve the page in the browser.")] = False,
    page_options: PageOptions = NO_OPTIONS,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a clip through the live path (crop, engine, bus, recorder, overlay), or send a recorded session."""
    if is_session(clip):
        not_for_sessions: dict[str, object] = {
            "engine": engine,
            "backend": backend,
            "precision": precision,
            "point": point,
            "threads": threads,
            "each-frame-alone": each_frame_alone,
        }
        not_for_sessions |= {"engines": engines, "count": count, "calibration": calibration, "scale": scale}
        not_for_sessions["crop"] = None if crop == "auto" else crop
        not_for_sessions |= {"results-only": results_only or None, "deinterlace": deinterlace or None}
        refuse("a recorded session is sent as it was recorded, and usassist rerun runs it again", not_for_sessions)
        code = replay_folder(
            Path(clip),
            out=out,
            overlay_video=overlay_video,
            window=window,
            full_screen=full_screen,
            page=page,
            page_options=page_options,
            bus=bus,
            fast=fast,
            speed=speed,
            from_s=from_s,
            to_s=to_s,
            repeat=repeat,
            config=config,
            as_json=as_json,
        )
        raise typer.Exit(code)
    refuse(
        "this is no recorded session",
        {"speed": speed, "from": from_s, "to": to_s, "page": page or None} | page_options.options,
    )
    from usassist.app.commands.progress import ProgressBar
    from usassist.app.commands.replay_report import print_replay
    from usassist.app.runtime.clip_session import replay as run_replay
    from usassist.app.runtime.open_stream import StreamOptions

    settings = read_settings(config)
    instead = "--overlay-video, or the panel in a browser"
    shown = override_overlay(settings.overlay, window=window, full_screen=full_screen, instead=instead)
    source, calibration = resolve_demo(clip, calibration)
    options = StreamOptions(
        source=source,
        bus=bus or settings.bus.address,
        engine=engine or settings.stream.engine,
        engines=None if engines is None else str(engines.resolve()),
        backend=backend or settings.stream.backend,
        precision=precision or settings.stream.precision,
        point=point or settings.stream.point,
        each_frame_alone=settings.stream.each_frame_alone if each_frame_alone is None else each_frame_alone,
        threads=settings.stream.threads if threads is None else threads,
        fast=fast,
        repeat=repeat,
        count=count,
        crop=crop,
        calibration=calibration,
        scale=scale or settings.stream.scale,
        max_age_ms=settings.stream.max_age_ms,
        deinterlace=deinterlace,
        deadline_s=settings.stream.deadline_s,
    )
    folder = out if out is not None else Path("out") / options.session_id
    with ProgressBar(quiet=as_json) as progress:
        outcome = run_replay(
            options,
            folder,
            overlay_video=overlay_video,
            window=shown,
            progress=progress,
            record=settings.record,
            results_only=results_only,
        )
    if as_json:
        typer.echo(json.dumps(outcome.summary | {"files": outcome.files}, indent=2))
    else:
        print_replay(outcome)
    if outcome.error is not None:
        print_error(outcome.error)
    raise typer.Exit(outcome.exit_code)
