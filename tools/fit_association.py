"""``python -m tools.fit_association IMAGES MASKS``: choose the association over frames for an operating point.

The candidates of every frame are computed once. Then every rule of a grid is applied to the clips, and the one is
chosen that flickers least among those that find as many nodules, with as many false positives, as the point does when
each frame is answered alone. To see what such a choice is worth, it is also made on one half of the clips and measured
on the other. The table to paste into the score file is printed at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from tools.sweep_counts import NAMES, Chooser, ClipFrame, Counts, count_clip, figures_of
from usassist.calibrate import DEFAULT_POINT, AssociationRule, ScoreCalibration, load_score_calibration
from usassist.engine import find_engine, open_engine
from usassist.errors import ScanAreaError, UsageError, UsAssistError
from usassist.evaluation.folders import Pair, list_pairs
from usassist.evaluation.images import read_grey, read_mask
from usassist.evaluation.metrics import case_weights, percentile_interval
from usassist.frames import compute_thumbnail, fill_labelmap, find_scan_area, goes_on
from usassist.modalities.ultrasound import SweepAssociation, check_outputs, decode, preprocess
from usassist.records import Detections, Segmentation

__all__ = ["choose_associated", "choose_rule", "main", "make_rules"]

_SLACK = 0.01  # in nodules found, and in false positives a frame, that a rule may be worse than each frame alone
_SCAN_SAMPLES = 8
_FRAMES, _IOU = 3, 0.3  # not fitted: on real sweeps, one to five frames and an IoU of 0.1 to 0.5 make little difference


def make_rules(score: float) -> list[AssociationRule]:
    """The grid around a point's threshold: where a candidate rises, is shown at once, and is released."""
    steps = [score + share * (1.0 - score) for share in (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)]
    rules = []
    for rise, alone, share in itertools.product(steps[:5], (*steps[3:], 1.0), (0.4, 0.6, 0.8)):
        if rise <= alone:
            scores = {"alone": round(alone, 4), "rise": round(rise, 4), "release": round(share * score, 4)}
            rules.append(AssociationRule(**scores, frames=_FRAMES, iou=_IOU))
    return rules


def choose_rule(alone: Sequence[Counts], by_rule: Sequence[Sequence[Counts]]) -> int | None:
    """Index of the rule that flickers least among those that are not worse than each frame alone; None without one."""
    every = np.ones((1, len(alone)))
    limit, best = figures_of(alone, every), None
    least = float(limit["events"][0])
    for index, counts in enumerate(by_rule):
        figures = figures_of(counts, every)
        worse = max(limit["found"] - figures["found"], figures["false_positives"] - limit["false_positives"])
        if float(worse[0]) <= _SLACK and float(figures["events"][0]) < least:
            least, best = float(figures["events"][0]), index
    return best


def choose_associated(rule: AssociationRule) -> Chooser:
    """What is shown of the frames of one clip; as in a stream, all is forgotten on another image and by abstention."""
    association = SweepAssociation(rule)

    def choose(frame: ClipFrame) -> npt.NDArray[np.intp]:
        if frame.abstained or not frame.goes_on:
            association.reset()
        if frame.abstained:
            return np.zeros(0, np.intp)
        return association.update(frame.candidates)

    return choose


def _read_clips(options: argparse.Namespace, scores: ScoreCalibration) -> list[list[ClipFrame]]:
    """The candidates of all frames; a clip is what has one name up to the last underscore."""
    spec = find_engine(options.engine, options.engines)
    check_outputs(spec)
    least = min(rule.release for rule in make_rules(scores.point(options.point).score))
    labels = tuple(dataclasses.replace(item, score_threshold=scores.raw_score(least, item.id)) for item in spec.labels)
    clips: dict[str, list[Pair]] = {}
    for pair in sorted(list_pairs(options.images, options.masks, None, []), key=lambda pair: pair.name):
        clips.setdefault(pair.name.rpartition("_")[0], []).append(pair)
    height_px, width_px = spec.inputs[0].shape[2:]
    if height_px is None or width_px is None or len(clips) < 4:
        raise UsageError(
            "an engine with a fixed input and at least four clips are needed; give frames named CLIP_NUMBER"
        )
    cv2.setNumThreads(1)
    read = []
    with open_engine(spec, options.backend, options.threads, options.precision) as engine:
        for pairs in clips.values():
            images = [read_grey(pair.image)[0] for pair in pairs]
            try:
                x1, y1, x2, y2 = find_scan_area(images[:: max(len(images) // _SCAN_SAMPLES, 1)]).xyxy_px
            except ScanAreaError:
                x1, y1, x2, y2 = 0, 0, images[0].shape[1], images[0].shape[0]
            frames: list[ClipFrame] = []
            before = None
            for pair, image in zip(pairs, images, strict=True):
                cut = np.ascontiguousarray(image[y1:y2, x1:x2])
                tensor, image_to_input = preprocess(cut, (height_px, width_px))
                outputs = engine.infer({"image": tensor})
                area, truth = (x1, y1, x2, y2), read_mask(pair.mask)
                thumbnail = compute_thumbnail(cut)
                follows, before = before is not None and goes_on(before, thumbnail), thumbnail
                if spec.domain is not None and spec.domain.why_abstain(spec.domain.read_prob(outputs)):
                    frame = _frame(Detections.empty(), Segmentation.empty(), truth, area)
                    frames.append(dataclasses.replace(frame, abstained=True))
                    continue
                found, outlines = decode(outputs, image_to_input, (y2 - y1, x2 - x1), labels)
                found = dataclasses.replace(found, score=scores.calibrated(found.score, 0))
                frames.append(dataclasses.replace(_frame(found, outlines, truth, area), goes_on=follows))
            read.append(frames)
    return read


def _frame(
    found: Detections, outlines: Segmentation, truth: npt.NDArray[np.bool_], area: tuple[int, int, int, int]
) -> ClipFrame:
    x1, y1, x2, y2 = area
    labelmap = fill_labelmap(outlines, (y2 - y1, x2 - x1))
    sizes, shared = (
        np.bincount(pixels.ravel(), minlength=len(found) + 1)[1:]
        for pixels in (labelmap, labelmap[truth[y1:y2, x1:x2]])
    )
    return ClipFrame(candidates=found, area_px=sizes, shared_px=shared, truth_px=int(truth.sum()))


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.fit_association", description=__doc__.split("\n")[0])
    parser.add_argument("images", type=Path, help="frames named CLIP_NUMBER")
    parser.add_argument("masks", type=Path, help="masks of the same names")
    parser.add_argument("--engine", default="thyroid_nodule", help="name, or name@version")
    parser.add_argument("--engines", type=Path, help="folder of engines (default: those that ship)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    parser.add_argument("--point", default=DEFAULT_POINT, help="operating point that it is for")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        engine_id = find_engine(options.engine, options.engines).engine_id
        scores = load_score_calibration(engine_id)
        if scores is None:
            raise UsageError(f"{engine_id} has no score calibration; make one with usassist eval calibrate")
        _fit(_read_clips(options, scores), scores.point(options.point).score, console)
    except UsAssistError as error:
        console.print(f"fit_association: {error}", style="red", markup=False, highlight=False)
        return error.exit_code
    return 0


def _fit(clips: Sequence[Sequence[ClipFrame]], score: float, console: Console) -> None:
    """Choose a rule for the threshold `score`, and print what it gives."""
    abstained = sum(frame.abstained for clip in clips for frame in clip)
    if abstained:
        console.print(f"the engine abstained on {abstained} frames: nodules on them are missed, and all is forgotten")
    alone = [count_clip(clip, lambda frame: np.nonzero(frame.candidates.score >= score)[0]) for clip in clips]
    rules = make_rules(score)
    by_rule = [[count_clip(clip, choose_associated(rule)) for clip in clips] for rule in rules]
    halves = [list(range(start, len(clips), 2)) for start in (0, 1)]
    for chosen_on, measured_on in (halves, halves[::-1]):
        best = choose_rule([alone[i] for i in chosen_on], [[counts[i] for i in chosen_on] for counts in by_rule])
        if best is not None:
            title = f"{rules[best]}\nchosen on {len(chosen_on)} clips, measured on the {len(measured_on)} others"
            console.print(_table(title, [alone[i] for i in measured_on], [by_rule[best][i] for i in measured_on]))
    best = choose_rule(alone, by_rule)
    if best is None:
        console.print("no rule is as good as each frame alone and flickers less; leave the association out")
        return
    console.print(_table(f"chosen and measured on all {len(clips)} clips", alone, by_rule[best]))
    rule = dataclasses.asdict(rules[best])
    console.print(
        "\n".join(["[points.association]", *(f"{key} = {value}" for key, value in rule.items())]), markup=False
    )


def _table(title: str, alone: Sequence[Counts], associated: Sequence[Counts]) -> Table:
    """Figures before and after, and their differences with 95 % intervals from resampling the clips."""
    table = Table(title=title, title_justify="left")
    for column in ("", "each frame alone", "associated", "difference"):
        table.add_column(column, justify="left" if not column else "right")
    every = np.ones((1, len(alone)))
    drawn = case_weights(len(alone))
    before, after = figures_of(alone, every), figures_of(associated, every)
    spread = {name: figures_of(associated, drawn)[name] - figures_of(alone, drawn)[name] for name in NAMES}
    for name, text in NAMES.items():
        low, high = percentile_interval(spread[name])
        difference = float(after[name][0] - before[name][0])
        table.add_row(
            text, f"{before[name][0]:.3f}", f"{after[name][0]:.3f}", f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
