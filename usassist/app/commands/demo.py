"""The command ``usassist demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from usassist.app.commands.options import (
    BackendSetting,
    CalibrationOption,
    ConfigOption,
    DeinterlaceOption,
    EachFrameAloneSetting,
    EngineSetting,
    PointSetting,
    PrecisionSetting,
    ScaleSetting,
    print_page_address,
    read_settings,
    resolve_demo,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options

__all__ = ["demo"]


@takes_page_options
def demo(
    clip: Annotated[str, typer.Argument(help="What to show, over and over.")] = "demo",
    engine: EngineSetting = None,
    backend: BackendSetting = None,
    precision: PrecisionSetting = None,
    point: PointSetting = None,
    each_frame_alone: EachFrameAloneSetting = None,
    page_options: PageOptions = NO_OPTIONS,
    calibration: CalibrationOption = None,
    scale: ScaleSetting = None,
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
            each_frame_alone=settings.stream.each_frame_alone if each_frame_alone is None else each_frame_alone,
            threads=settings.stream.threads,
            max_age_ms=settings.stream.max_age_ms,
            deadline_s=settings.stream.deadline_s,
            calibration=calibration,
            scale=scale or settings.stream.scale,
            deinterlace=deinterlace,
            repeat=True,
        ),
        panel=page_options.override(settings.panel),
        on_ready=print_page_address,
    )
