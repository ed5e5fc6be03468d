"""The command ``usassist eval domain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.evaluate_output import (
    CsvOption,
    JsonFileOption,
    SheetOption,
    require_frames,
    resolve_outputs,
    with_progress,
    write_contact_sheet,
    write_report,
)
from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, PrecisionOption, ThreadsOption
from usassist.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from usassist.evaluation.domain import DomainSet
    from usassist.evaluation.engine_under_test import EngineUnderTest
    from usassist.evaluation.images import Skipped
    from usassist.evaluation.run import FrameOutcome

__all__ = ["domain"]


def domain(
    json_path: JsonFileOption,
    thyroid: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH of frames that show the thyroid; may be repeated.")
    ] = None,
    other: Annotated[list[str] | None, typer.Option(help="NAME=PATH of other frames; may be repeated.")] = None,
    names: Annotated[list[str] | None, typer.Option(help="NAME=FILE: of that set only the images named there.")] = None,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="Every nth image, and every nth frame of a clip (default: as eval negatives)."),
    ] = None,
    at: Annotated[float | None, typer.Option(min=0, max=1, help="Threshold, instead of that of the engine.")] = None,
    loss: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the thyroid frames that the proposed threshold may lose.")
    ] = 0.02,
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    csv_path: CsvOption = None,
    sheet: SheetOption = None,
) -> None:
    """How often the engine abstains, by set: on frames that show the thyroid, and on other frames."""
    from usassist.evaluation.domain import (
        choose_domain_threshold,
        collect_domain_frames,
        domain_report,
        domain_rows,
        list_domain_sets,
    )
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test

    outputs = resolve_outputs(json_path, csv_path, sheet)
    skipped: list[Skipped] = []
    sets = list_domain_sets(thyroid or [], other or [], names or [], stride, skipped)
    choice = EngineOptions(name=engine, engines=engines, backend=backend, threads=threads, precision=precision)
    with open_engine_under_test(choice) as measured:
        made_for = measured.spec.domain
        if made_for is None:
            raise UsageError(
                f"{measured.spec.engine_id} has no table [domain] in engine.toml, so it never abstains; choose another"
            )
        threshold = made_for.threshold if at is None else at
        frames, tiles = collect_domain_frames(_run(measured, sets, skipped), threshold)
    require_frames(len(frames), sets[0].paths[0].parent, skipped)
    proposed = choose_domain_threshold(frames, loss) if any(frame.inside for frame in frames) else None
    report: dict[str, Any] = {
        "domain": {"name": made_for.name, "output": made_for.output, "threshold": threshold},
        **domain_report(frames, threshold),
        "proposed": None
        if proposed is None
        else {"loss": loss, "threshold": proposed, **domain_report(frames, proposed)},
    }
    _print(measured, report, skipped)
    write_report(measured, report, domain_rows(frames, threshold, skipped), skipped, outputs)
    title = f"frames judged wrongly at {threshold:g}, of {len(frames)}"
    write_contact_sheet(outputs[2], tiles, title, with_truth=False)


def _run(
    measured: EngineUnderTest, sets: list[DomainSet], skipped: list[Skipped]
) -> Iterator[tuple[DomainSet, FrameOutcome]]:
    from usassist.evaluation.domain import read_domain_set

    for frames in sets:
        for outcome in measured.run(with_progress(read_domain_set(frames, skipped), len(frames.paths))):
            yield frames, outcome


def _print(measured: EngineUnderTest, report: dict[str, Any], skipped: list[Skipped]) -> None:
    from rich.console import Console

    from usassist.evaluation.console_tables import print_domain, print_skipped

    console = Console()
    made_for, proposed = report["domain"], report["proposed"]
    title = f"{measured.spec.engine_id} on {measured.backend}\nabstains where {made_for['output']} < "
    print_domain(console, f"{title}{made_for['threshold']:g}", report, made_for["name"])
    if proposed is not None:
        print_domain(
            console,
            f"threshold {proposed['threshold']:g}: the highest that loses at most {100 * proposed['loss']:g} % of the "
            f"{made_for['name']} frames",
            proposed,
            made_for["name"],
        )
    print_skipped(console, skipped)
