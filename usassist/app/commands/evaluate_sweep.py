"""The command ``usassist eval sweep``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.evaluate_output import (
    CsvOption,
    JsonFileOption,
    PointChoice,
    SheetOption,
    ThresholdOption,
    print_report,
    resolve_outputs,
    with_progress,
    write_contact_sheet,
    write_report,
)
from usassist.app.commands.options import (
    BackendOption,
    EachFrameAloneSetting,
    EngineOption,
    EnginesOption,
    PrecisionOption,
    ThreadsOption,
)
from usassist.errors import UsageError

if TYPE_CHECKING:
    from usassist.evaluation.engine_under_test import EngineUnderTest
    from usassist.evaluation.images import Skipped
    from usassist.evaluation.mask_identities import IdentitiesFrom
    from usassist.evaluation.phantom_clips import PhantomClip
    from usassist.evaluation.run import FrameOutcome
    from usassist.evaluation.sweep_clips import Clip
    from usassist.evaluation.sweep_figures import SweepFrame

    SweepClip = Clip | PhantomClip

__all__ = ["sweep"]

ByOption = Annotated[str, typer.Option(help="What the intervals resample: clip, or case with --cases.")]
ClipsOption = Annotated[
    Path | None, typer.Option(help="CSV file with the columns file, clip and frame (default: names CLIP_NUMBER).")
]
ClipCasesOption = Annotated[Path | None, typer.Option(help="Text file: clip and case in each line.")]
ClipNamesOption = Annotated[Path | None, typer.Option(help="Text file: only the clips named there.")]
RateOption = Annotated[
    float | None, typer.Option(min=0.1, max=1000, help="Frames a second of the clips, for false alarms per minute.")
]
VideosOption = Annotated[Path | None, typer.Option(help="Folder for overlay videos, one per clip.")]
VideoOption = Annotated[
    list[str] | None, typer.Option(metavar="CLIP", help="A video of this clip only; may be given several times.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace videos that exist.")]
PhantomOption = Annotated[
    int | None,
    typer.Option(min=1, max=999, metavar="COUNT", help="Simulated sweeps with true sizes, instead of folders."),
]
SeedOption = Annotated[int | None, typer.Option(min=0, max=999_999, help="Of the simulated sweeps (default: 1).")]


def sweep(
    json_path: JsonFileOption,
    images: Annotated[Path | None, typer.Argument(help="Folder of images.")] = None,
    masks: Annotated[Path | None, typer.Argument(help="Folder of masks with the names of the images.")] = None,
    phantom: PhantomOption = None,
    seed: SeedOption = None,
    by: ByOption = "clip",
    clips: ClipsOption = None,
    cases: ClipCasesOption = None,
    names: ClipNamesOption = None,
    rate_hz: RateOption = None,
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    point: PointChoice = None,
    threshold: ThresholdOption = None,
    each_frame_alone: EachFrameAloneSetting = None,
    csv_path: CsvOption = None,
    sheet: SheetOption = None,
    videos: VideosOption = None,
    video: VideoOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Clips with a mask on every frame: outlines, identities, sizes, first detection, flicker, false alarms."""
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
    from usassist.evaluation.sweep_report import Sweeps, sweep_report, sweep_rows
    from usassist.evaluation.sweep_table import print_clips, print_nodules
    from usassist.evaluation.sweep_video import UNKNOWN_RATE_HZ, plan_videos

    _check_choices(by, cases, videos, video)
    outputs = resolve_outputs(json_path, csv_path, sheet)
    skipped: list[Skipped] = []
    found: Sequence[SweepClip]
    if phantom is not None:
        _refuse_beside_phantom(images=images, clips=clips, cases=cases, names=names, rate_hz=rate_hz)
        found, rate_hz = _draw(phantom, 1 if seed is None else seed)
    else:
        if seed is not None:
            raise UsageError("--seed is of simulated sweeps; give --phantom with it, or leave it out")
        found = _list(images, masks, clips, cases, names, skipped)
    wanted: Mapping[str, Path] = {}
    if videos is not None:
        wanted = plan_videos(videos, [clip.name for clip in found], video or (), overwrite=overwrite)
    choice = EngineOptions(
        name=engine,
        engines=engines,
        backend=backend,
        threads=threads,
        precision=precision,
        point=point,
        threshold=threshold,
        associated=not each_frame_alone,
    )
    with open_engine_under_test(choice) as measured:
        told_by = [clip.check() for clip in with_progress(found, len(found), "clips checked")]
        if each_frame_alone is False and measured.association is None:
            raise UsageError(
                f"--associated: no operating point is in use that has an association ({measured.threshold_from}); "
                "leave the option out"
            )
        sweeps = Sweeps(measured.least_score)
        for clip, way in with_progress(zip(found, told_by, strict=True), len(found), "clips"):
            outcomes = _run_clip(measured, clip, way, rate_hz or UNKNOWN_RATE_HZ)
            with _watched(outcomes, clip, wanted, measured, rate_hz) as frames:
                sweeps.take(clip.name, frames, way)
    report = sweep_report(sweeps, rate_hz, by, measured.association)
    console = print_report(measured, report, skipped, extra=report["froc"]["at"])
    print_clips(console, sweeps.clips, rate_hz)
    print_nodules(console, sweeps.clips, library=report["identities"]["library"])
    write_report(measured, report, sweep_rows(sweeps, skipped), skipped, outputs)
    how = "associated" if measured.association is not None else f"at {measured.threshold:.2f}"
    title = f"worst frames of {len(sweeps.clips)} clips (most area wrong), {how}"
    write_contact_sheet(outputs[2], sweeps.tiles, title, with_truth=True)
    for path in wanted.values():
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _check_choices(by: str, cases: Path | None, videos: Path | None, video: list[str] | None) -> None:
    if by not in ("clip", "case"):
        raise UsageError(f"--by {by} is not known; write clip or case")
    if (by == "case") != (cases is not None):
        raise UsageError("--by case and --cases go together: a text file with clip and case in each line; give both")
    if video and videos is None:
        raise UsageError("--video needs a folder for the videos; name it with --videos")


def _refuse_beside_phantom(**given: Any) -> None:
    words = {"images": "folders", "rate_hz": "--rate-hz", **{name: f"--{name}" for name in ("clips", "cases", "names")}}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--phantom makes its own clips, and {words[name]} cannot go with it; leave one out")


def _draw(count: int, seed: int) -> tuple[Sequence[SweepClip], float]:
    """Simulated clips, and their rate."""
    from usassist.evaluation.phantom_clips import draw_phantom_clips

    clips = draw_phantom_clips(count, seed)
    return clips, clips[0].rate_hz


def _list(
    images: Path | None,
    masks: Path | None,
    table: Path | None,
    cases: Path | None,
    names: Path | None,
    skipped: list[Skipped],
) -> Sequence[SweepClip]:
    """The clips in two folders."""
    from usassist.evaluation.cases import read_cases, read_names
    from usassist.evaluation.sweep_clips import list_clips, read_clip_table

    if images is None or masks is None:
        raise UsageError("name a folder of images and one of masks, or give --phantom for simulated sweeps")
    return list_clips(
        images,
        masks,
        skipped,
        table=None if table is None else read_clip_table(table),
        names=None if names is None else read_names(names),
        cases=None if cases is None else read_cases(cases),
    )


def _run_clip(
    measured: EngineUnderTest, clip: SweepClip, told_by: IdentitiesFrom, rate_hz: float
) -> Iterator[tuple[FrameOutcome, SweepFrame]]:
    """Run the frames of one clip in order, all cropped to the one scan area that was settled for the clip."""
    from usassist.evaluation.run import settle_area
    from usassist.evaluation.sweep_figures import follow_clip

    outcomes = measured.run_clip(clip.read(told_by), settle_area(clip.sample()), rate_hz)
    return follow_clip(outcomes, clip.numbers, measured.least_score)


@contextmanager
def _watched(
    frames: Iterator[tuple[FrameOutcome, SweepFrame]],
    clip: SweepClip,
    videos: Mapping[str, Path],
    measured: EngineUnderTest,
    rate_hz: float | None,
) -> Iterator[Iterable[tuple[FrameOutcome, SweepFrame]]]:
    """The frames as they are, each also written into the video of the clip where it gets one."""
    from usassist.evaluation.sweep_video import SweepVideo, open_video

    def written(video: SweepVideo) -> Iterator[Any]:
        for outcome, frame in frames:
            video.write(outcome, frame)
            yield outcome, frame

    if clip.name not in videos:
        yield frames
        return
    associated, made_for = measured.association is not None, measured.spec.domain
    domain = "" if made_for is None else made_for.name
    path, count = videos[clip.name], len(clip.numbers)
    with open_video(path, count, measured.least_score, rate_hz, associated=associated, domain=domain) as video:
        yield written(video)
