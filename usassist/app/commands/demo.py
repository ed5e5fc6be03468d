"""The command ``usassist demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import (
    BackendSetting,
    CalibrationOption,
    ConfigOption,
    EachFrameAloneSetting,
    EngineSetting,
    PointSetting,
    PrecisionSetting,
    ScaleSetting,
    print_page_address,
    read_settings,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.errors import SourceError, UsageError

__all__ = ["demo"]


@takes_page_options
def demo(
    clip: Annotated[
        str, typer.Argument(help="Video, DICOM file, picture or folder of pictures to show first; or demo.")
    ] = "demo",
    engine: EngineSetting = None,
    backend: BackendSetting = None,
    precision: PrecisionSetting = None,
    point: PointSetting = None,
    each_frame_alone: EachFrameAloneSetting = None,
    page_options: PageOptions = NO_OPTIONS,
    calibration: CalibrationOption = None,
    scale: ScaleSetting = None,
    config: ConfigOption = None,
) -> None:
    """Serve the demo page: choose or upload a clip, and look at every frame with its own result.

    The live page over a clip that plays again and again is usassist live --source loop:CLIP.
    """
    from usassist.app.demo.material import FIRST, Item
    from usassist.app.demo.serve import DemoOptions, run_demo
    from usassist.app.runtime.open_stream import StreamOptions
    from usassist.sources.inputs.address import is_live

    settings = read_settings(config)
    first = None
    if clip != "demo":
        if is_live(clip):
            raise UsageError(f"{clip} is live; the page over it is usassist live --source {clip}")
        if ":" not in clip and not Path(clip).exists():
            raise SourceError(f"{clip} is not there; name a file, a folder of pictures, or demo")
        first = Item(name=FIRST, source=clip, calibration=calibration, simulated=False)
    run_demo(
        DemoOptions(
            stream=StreamOptions(
                source="",
                bus="",
                engine=engine or settings.stream.engine,
                backend=backend or settings.stream.backend,
                precision=precision or settings.stream.precision,
                point=point or settings.stream.point,
                each_frame_alone=settings.stream.each_frame_alone if each_frame_alone is None else each_frame_alone,
                threads=settings.stream.threads,
                max_age_ms=settings.stream.max_age_ms,
                deadline_s=settings.stream.deadline_s,
                scale=scale or settings.stream.scale,
            ),
            record=settings.record,
            jpeg_quality=settings.panel.jpeg_quality,
            first=first,
        ),
        panel=page_options.override(settings.panel),
        on_ready=print_page_address,
    )
