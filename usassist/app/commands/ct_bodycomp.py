"""The command ``usassist ct bodycomp``: muscle and fat in a CT of the abdomen."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, JsonOption, ThreadsOption

__all__ = ["bodycomp"]

_WEIGHT_KG = (2.0, 500.0)


class _Sex(StrEnum):
    M = "M"
    F = "F"


def bodycomp(
    path: Annotated[Path, typer.Argument(metavar="INPUT", help="Folder, DICOM file, zip, or NIfTI file.")],
    out: Annotated[Path, typer.Option(help="Folder for the result; it must not exist yet.")],
    level: Annotated[
        str | None,
        typer.Option(help="Level: L3 (the default of a series), a range such as T12..L5, or all. One slice needs it."),
    ] = None,
    slice_number: Annotated[
        int | None,
        typer.Option("--slice", metavar="N", min=1, help="Slice of that level, counted from the feet; else searched."),
    ] = None,
    height_m: Annotated[float | None, typer.Option(help="Height of the patient; else that of the header.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Weight of the patient; else that of the header.")] = None,
    sex: Annotated[_Sex | None, typer.Option(help="Sex of the patient; else that of the header.")] = None,
    cutoffs: Annotated[
        list[str] | None, typer.Option(help="Set of cut-offs for the muscle index, for example prado; repeatable.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="N", help="Number or id of the series, as usassist ct info lists them.")
    ] = None,
    engine: EngineOption = "ct_bodycomp",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8 or auto.")] = "auto",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure muscle and fat in a CT of the abdomen: areas, mean HU, muscle index, volumes, pictures, CSV and JSON."""
    from usassist.app.commands.ct_ich import require_answer
    from usassist.app.commands.study_progress import study_progress
    from usassist.app.studies import answer_study
    from usassist.app.studies.bodycomp import BodyWriter
    from usassist.clinical.sarcopenia import find_cutoffs
    from usassist.errors import UsageError

    if weight_kg is not None and not _WEIGHT_KG[0] <= weight_kg <= _WEIGHT_KG[1]:
        raise UsageError(f"the weight must lie from 2 to 500 kg, got {weight_kg:g}; give it in kilograms")
    writer = BodyWriter(
        height_m=height_m,
        weight_kg=weight_kg,
        sex=None if sex is None else sex.value,
        cutoffs=tuple(find_cutoffs(name) for name in cutoffs or ()),
    )
    with study_progress(quiet=as_json) as (progress, cancel):
        outcome = answer_study(
            path,
            engine,
            backend=backend,
            precision=precision,
            threads=threads,
            engines=engines,
            series=series,
            out=out,
            writers=[writer],
            progress=progress,
            cancel=cancel,
            level=level,
            plane=None if slice_number is None else slice_number - 1,
            height_m=height_m,
            on_choice=writer.take,
        )
    document = require_answer(outcome)
    if as_json:
        import json

        typer.echo(json.dumps(writer.document, indent=2, ensure_ascii=False))
        return
    for line in _lines(writer.document):
        typer.echo(line)
    for problem in document.series.problems:
        typer.echo(f"the series: {problem}")
    typer.echo(f"written: {', '.join(str(out / name) for name in outcome.files)}")
    typer.echo(document.notice)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = []
    for level in document["levels"]:
        how = level["found_by"]
        if level["confidence"] is not None:
            how = f"confidence {level['confidence']:.2f}: {how}"
        lines.append(f"{level['level']}: slice {level['slice']} of {level['slices']} from the feet ({how})")
        sign = "at least " if level["is_cut_off"] else ""
        for name, area in level["areas"].items():
            mean = level["mean_hu"].get(name) or {"value": None}
            u95 = "" if area["u95"] is None else f" ± {area['u95']:.1f} cm2"
            hu = "" if mean["value"] is None else f", mean {mean['value']:.1f} HU"
            lines.append(f"  {name.replace('_', ' ')}: {sign}{area['value']:.1f} cm2{u95}{hu}")
        index = level["skeletal_muscle_index"]
        height = document["patient"]["height_m"]
        if index is None:
            lines.append("  skeletal muscle index: not computed, the height is not known; give --height-m")
        else:
            by = f"height {height['value']:g} m from the {height['origin']}"
            lines.append(f"  skeletal muscle index: {sign}{index['value']:.1f} cm2/m2 ({by})")
        for item in level["cutoffs"]:
            said = f"not applied: {item['reason']}"
            if item["is_low"] is not None:
                said = f"{'low' if item['is_low'] else 'not low'}, cut-off {item['cutoff']:g} cm2/m2"
            lines.append(f"  {item['name']}: {said} [{item['source']}]")
        lines += [f"  look at it: {doubt}" for doubt in level["doubts"]]
    if document["volumes"]["skeletal_muscle"] is not None:
        first, last = document["planes"]["first"] + 1, document["planes"]["last"] + 1
        lines.append(f"volumes, slices {first} to {last}:")
        for name, item in document["volumes"].items():
            u95 = "" if item["u95"] is None else f" ± {item['u95']:.0f} mL"
            sign = "at least " if "lower bound" in item["reason"] else ""
            lines.append(f"  {name.replace('_', ' ')}: {sign}{item['value']:.0f} mL{u95}")
    lines += [f"{name}: {reason}" for name, reason in document["not_measured"].items()]
    reasons = {area["reason"] for level in document["levels"] for area in level["areas"].values() if area["reason"]}
    lines += [f"areas and volumes without uncertainty: {reason}" for reason in sorted(reasons)]
    return lines
