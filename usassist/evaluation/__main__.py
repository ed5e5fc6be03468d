"""``python -m usassist.evaluation``: measure an engine on the labelled data sets, as a table and as JSON.

Every frame goes through the live path: crop to the scan area, preprocess, engine, decode, back to the whole frame.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from usassist.config import data_dir
from usassist.engine import find_engine, open_engine
from usassist.errors import UsAssistError
from usassist.evaluation.evaluate import FrameOutcome, choose_threshold, evaluate, evaluate_negatives, run_frames
from usassist.evaluation.folders import LabelledFrame, read_clips, read_labelled, read_negatives, render_phantom
from usassist.evaluation.metrics import Figure

_LOWEST_THRESHOLD = 0.05
_CANDIDATES = tuple(round(0.10 + 0.05 * index, 2) for index in range(15))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m usassist.evaluation", description=__doc__.split("\n")[0])
    parser.add_argument("--engine", default="thyroid_nodule", help="name, or name@version")
    parser.add_argument("--engines", type=Path, help="folder of engines (default: those that ship)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    parser.add_argument("--threshold", type=float, help="score threshold (default: of the engine)")
    parser.add_argument(
        "--choose-threshold", action="store_true", help="take the threshold with the best F1 on the DDTI val part"
    )
    parser.add_argument(
        "--negatives-from", type=int, default=2440, metavar="N", help="TG3K val frames from this file number on"
    )
    parser.add_argument("--phantom", type=int, default=0, metavar="COUNT", help="simulated scenes, seeds 1 to COUNT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        report = _measure(options)
    except UsAssistError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    report["command"] = " ".join(["python -m usassist.evaluation", *(sys.argv[1:] if arguments is None else arguments)])
    _show(console, report)
    if options.json is not None:
        options.json.write_text(json.dumps(_plain(report), indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    root = data_dir()
    spec = find_engine(options.engine, options.engines)
    height_px, width_px = (side for side in spec.inputs[0].shape[2:])
    assert height_px is not None
    assert width_px is not None
    lowest = tuple(dataclasses.replace(label, score_threshold=_LOWEST_THRESHOLD) for label in spec.labels)
    cv2.setNumThreads(1)
    with open_engine(spec, options.backend, options.threads) as engine:

        def run(frames: Iterator[LabelledFrame]) -> list[FrameOutcome]:
            return run_frames(engine.infer, (height_px, width_px), lowest, frames)

        names = (root / "thyroid_ddti" / "val.txt").read_text(encoding="utf-8").split()
        nodules = run(read_labelled(root / "thyroid_ddti", names))
        gland = run(read_negatives(root / "thyroid_gland_tg3k" / "val"))
        clips = run(read_clips(root / "ultrasound_clips_lung"))
        phantom = run(render_phantom(options.phantom)) if options.phantom else []
        report: dict[str, Any] = {"engine": spec.engine_id, "backend": engine.backend, "sets": {}}
    threshold = spec.labels[0].score_threshold if options.threshold is None else options.threshold
    if options.choose_threshold:
        threshold, report["f1_by_threshold"] = choose_threshold(nodules, _CANDIDATES)
    report["threshold"] = threshold
    sets: dict[str, dict[str, Figure]] = report["sets"]
    sets["DDTI val"] = evaluate(nodules, threshold)
    sets["TG3K val, all sweeps"] = evaluate_negatives(gland, threshold)
    unseen = [outcome for outcome in gland if int(outcome.name) >= options.negatives_from]
    sets[f"TG3K val, file numbers from {options.negatives_from}"] = evaluate_negatives(unseen, threshold)
    sets["lung clips"] = evaluate_negatives(clips, threshold)
    if phantom:
        shown = [outcome for outcome in phantom if outcome.truth.any()]
        sets["phantom, with nodule"] = evaluate(shown, threshold)
        empty = [outcome for outcome in phantom if not outcome.truth.any()]
        sets["phantom, without nodule"] = evaluate_negatives(empty, threshold)
    report["elapsed_ms_median"] = float(np.median([outcome.elapsed_ms for outcome in nodules]))
    report["frames_not_cropped"] = sum(not outcome.cropped for outcome in (*nodules, *gland, *clips, *phantom))
    return report


def _show(console: Console, report: dict[str, Any]) -> None:
    table = Table(title=f"{report['engine']} on {report['backend']}, threshold {report['threshold']:.2f}")
    for column in ("set", "figure", "value", "95 % interval", "n"):
        table.add_column(column, justify="left" if column in ("set", "figure") else "right")
    for name, figures in report["sets"].items():
        for figure_name, figure in figures.items():
            interval = f"{figure.low:.3f} to {figure.high:.3f}"
            table.add_row(name, figure_name, f"{figure.value:.3f}", interval, str(figure.count))
    console.print(table)
    console.print(
        f"median of preprocess, engine and decode: {report['elapsed_ms_median']:.1f} ms per frame; "
        f"{report['frames_not_cropped']} frames without a scan area"
    )


def _plain(value: Any) -> Any:
    """JSON has neither dataclasses nor NaN."""
    if isinstance(value, Figure):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    sys.exit(main())
