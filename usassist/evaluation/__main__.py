"""``python -m usassist.evaluation``: evaluate an engine on the labelled data sets, as a table and as JSON.

Every frame goes through the live path: crop to the scan area, preprocess, engine, decode, map back to the whole frame.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from usassist.config import data_dir
from usassist.errors import ConfigError, UsAssistError
from usassist.evaluation.console_tables import print_figures
from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
from usassist.evaluation.figures import choose_threshold, compute_false_alarms, compute_figures
from usassist.evaluation.folders import (
    LabelledFrame,
    list_negatives,
    read_clips,
    read_labelled,
    read_negatives,
    render_phantom,
)
from usassist.evaluation.images import Skipped
from usassist.evaluation.metrics import Figure
from usassist.evaluation.report_files import write_json
from usassist.evaluation.tally import FrameTally, tally

_CANDIDATES = tuple(round(0.10 + 0.05 * index, 2) for index in range(15))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m usassist.evaluation", description=__doc__.split("\n")[0])
    parser.add_argument("--engine", default="thyroid_nodule", help="name, or name@version")
    parser.add_argument("--engines", type=Path, help="folder of engines (default: the shipped ones)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision", default="auto", help="fp32, int8, or auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    parser.add_argument("--threshold", type=float, help="score threshold (default: of the engine)")
    parser.add_argument(
        "--choose-threshold", action="store_true", help="use the threshold with the best F1 on the DDTI val part"
    )
    parser.add_argument(
        "--negatives-from", type=int, default=2440, metavar="N", help="TG3K val frames from this file number on"
    )
    parser.add_argument("--phantom", type=int, default=0, metavar="COUNT", help="simulated scenes, seeds 1 to COUNT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
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
        write_json(options.json, report)
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    root = data_dir()
    engine_options = EngineOptions(
        name=options.engine,
        engines=options.engines,
        backend=options.backend,
        threads=options.threads,
        precision=options.precision,
        threshold=options.threshold,
        raw=True,  # the threshold chosen here becomes that of engine.toml
    )
    with open_engine_under_test(engine_options) as tested:

        def run(frames: Iterator[LabelledFrame]) -> list[FrameTally]:
            return [tally(outcome) for outcome in tested.run(frames)]

        names = (root / "thyroid_ddti" / "val.txt").read_text(encoding="utf-8").split()
        nodules = run(read_labelled(root / "thyroid_ddti", names))
        gland = run(_gland(root / "thyroid_gland_tg3k" / "val" / "images"))
        clips = run(read_clips(root / "ultrasound_clips_lung"))
        phantom = run(render_phantom(options.phantom)) if options.phantom else []
    report: dict[str, Any] = {"engine": tested.spec.engine_id, "backend": tested.backend, "sets": {}}
    threshold = tested.threshold
    if options.choose_threshold:
        threshold, report["f1_by_threshold"] = choose_threshold(nodules, _CANDIDATES)
    report["threshold"] = threshold
    sets: dict[str, dict[str, Figure]] = report["sets"]
    sets["DDTI val"] = compute_figures(nodules, threshold)
    sets["TG3K val, all sweeps"] = compute_false_alarms(gland, threshold)
    unseen = [frame for frame in gland if int(frame.name) >= options.negatives_from]
    sets[f"TG3K val, file numbers from {options.negatives_from}"] = compute_false_alarms(unseen, threshold)
    order = list(dict.fromkeys(frame.case for frame in clips))
    trained_on = set(order[::2])  # the split of training
    sets["lung clips, no frame trained on"] = compute_false_alarms(
        [frame for frame in clips if frame.case not in trained_on], threshold
    )
    if phantom:
        sets["phantom, with nodule"] = compute_figures([frame for frame in phantom if frame.truth_px], threshold)
        empty = [frame for frame in phantom if not frame.truth_px]
        sets["phantom, without nodule"] = compute_false_alarms(empty, threshold)
    report["elapsed_ms_median"] = float(np.median([frame.elapsed_ms for frame in nodules]))
    report["frames_not_cropped"] = sum(not frame.cropped for frame in (*nodules, *gland, *clips, *phantom))
    return report


def _gland(folder: Path) -> Iterator[LabelledFrame]:
    skipped: list[Skipped] = []
    yield from read_negatives(list_negatives(folder, None, skipped), None, skipped)
    if skipped:
        raise ConfigError(f"frame {skipped[0].name}: {skipped[0].reason}; fetch the data set again")


def _show(console: Console, report: dict[str, Any]) -> None:
    title = f"{report['engine']} on {report['backend']}, threshold {report['threshold']:.2f}"
    print_figures(console, title, report["sets"])
    console.print(
        f"median of preprocess, engine and decode: {report['elapsed_ms_median']:.1f} ms per frame; "
        f"{report['frames_not_cropped']} frames without a scan area"
    )


if __name__ == "__main__":
    sys.exit(main())
