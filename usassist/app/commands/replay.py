"""The command ``usassist replay``."""

from __future__ import annotations

import dataclasses
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
    OpenIgtLinkOption,
    PointSetting,
    PrecisionSetting,
    ScaleSetting,
    ThreadsSetting,
    WindowOption,
    override_overlay,
    read_settings,
    resolve_demo,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.app.commands.replay_session import is_session, refuse, replay_folder
from usassist.errors import UsageError

__all__ = ["replay"]


@takes_page_options
def replay(
    clips: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP...",
            help="Video file, folder of images, recorded session, demo, phantom:… or null:…; also several clips, a "
            "folder of clips, or of a DICOM study.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Session folder, new or empty (default: out/SESSION); of several clips it gets one for each; of a "
            "session the video."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the results as a table, - = standard output. No session is kept without --out."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the overlay as .mp4 or .mkv; of several clips a folder. No session without --out."),
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
    openigtlink: OpenIgtLinkOption = None,
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
    from usassist.app.runtime.clips import clips_of

    names = clips_of(clips, lambda line: typer.echo(f"usassist: {line}", err=True))
    if sessions := [name for name in names if is_session(name)]:
        if len(names) > 1:
            raise UsageError(f"{sessions[0]} is a recorded session, and these are replayed one at a time")
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
            Path(names[0]),
            out=out,
            csv=csv,
            save=save,
            overlay_video=overlay_video,
            window=window,
            full_screen=full_screen,
            page=page,
            page_options=page_options,
            openigtlink=openigtlink,
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
    from usassist.app.commands.replay_report import describe_answer, print_answer, print_clips
    from usassist.app.runtime.clips import ClipTargets, replay_clips
    from usassist.app.runtime.open_stream import StreamOptions, new_session_id

    settings = read_settings(config)
    instead = "--overlay-video, or the panel in a browser"
    shown = override_overlay(settings.overlay, window=window, full_screen=full_screen, instead=instead)
    targets = ClipTargets(out=out, csv=csv, save=save, overlay_video=overlay_video, results_only=results_only)
    if as_json and csv == Path("-"):
        raise UsageError("--json and --csv - both write to standard output; name a file for one of them")
    if repeat and (len(names) > 1 or targets.keeps_nothing):
        raise UsageError("with --repeat a clip never ends; leave it out")
    link = None if openigtlink is None else dataclasses.replace(settings.openigtlink, port=openigtlink)
    watched = shown is not None or bus is not None or link is not None
    options = StreamOptions(
        source="",
        bus=bus or settings.bus.address,
        engine=engine or settings.stream.engine,
        engines=None if engines is None else str(engines.resolve()),
        backend=backend or settings.stream.backend,
        precision=precision or settings.stream.precision,
        point=point or settings.stream.point,
        each_frame_alone=settings.stream.each_frame_alone if each_frame_alone is None else each_frame_alone,
        threads=settings.stream.threads if threads is None else threads,
        fast=fast or (targets.keeps_nothing and not watched),  # every frame is answered then
        repeat=repeat,
        count=count,
        crop=crop,
        calibration=calibration,
        scale=scale or settings.stream.scale,
        max_age_ms=settings.stream.max_age_ms,
        deinterlace=deinterlace,
        deadline_s=settings.stream.deadline_s,
    )

    def of_clip(name: str) -> StreamOptions:
        source, geometry = resolve_demo(name, calibration)
        return dataclasses.replace(options, source=source, calibration=geometry, session_id=new_session_id())

    answers = replay_clips(
        [(name, of_clip(name)) for name in names],
        targets,
        window=shown,
        openigtlink=link,
        record=settings.record,
        make_progress=lambda: ProgressBar(quiet=as_json),
        on_answer=lambda answer: print_answer(answer, alone=len(names) == 1, quiet=as_json, on_stderr=csv == Path("-")),
    )
    if as_json:
        documents = [describe_answer(answer) for answer in answers]
        typer.echo(json.dumps(documents if len(names) > 1 else documents[0], indent=2))
    elif len(names) > 1:
        print_clips(answers, len(names), on_stderr=csv == Path("-"))
    raise typer.Exit(next((answer.exit_code for answer in reversed(answers) if answer.exit_code), 0))
