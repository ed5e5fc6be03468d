"""The gate of INT8: how both precisions of an engine are measured before INT8 is kept.

Accuracy is measured on labelled frames. Without labels, results of INT8 can only be compared with those of FP32. That
is agreement: it shows what quantising has changed, and not how accurate either is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.quantization.user_frames import UserLabelledImages, read_unlabelled
from usassist.engine import EngineSpec
from usassist.engine.base import Engine
from usassist.engine.int8 import GateFigure
from usassist.errors import EngineError, SourceError, UsageError
from usassist.evaluation.figures import compute_figures
from usassist.evaluation.folders import LabelledFrame, read_labelled
from usassist.evaluation.metrics import match_overlaps
from usassist.evaluation.run import FrameOutcome, run_frames
from usassist.evaluation.tally import MIN_IOU, tally

__all__ = [
    "ACCURACY_LIMIT",
    "AGREEMENT_LIMIT",
    "Gate",
    "Judge",
    "agreement_gate",
    "input_size",
    "labelled_gate",
    "public_gate",
]

UInt8Array = npt.NDArray[np.uint8]

ACCURACY_LIMIT = 0.01
"""Mean Dice and sensitivity may fall by so much."""
AGREEMENT_LIMIT = 0.05
"""Outlines and nodules of INT8 may differ from those of FP32 by so much."""

_MIN_FOUND = 10  # images in which FP32 must find something, for the comparison to mean anything

Judge = Callable[[Engine], dict[str, float]]
"""Runs an engine on frames, and gives figures of merit: 0 to 1, more is better. Called with FP32 first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The gate that INT8 has to pass.

    Attributes
    ----------
    kind : ``accuracy``, against marked nodules, or ``agreement``, against what FP32 answers
    judge : measures an open engine
    limit : no figure of INT8 may lie further below that of FP32
    method : how it is measured, for the calibration file
    """

    kind: str
    judge: Judge
    limit: float
    method: str

    def lines(self, figures: Mapping[str, GateFigure]) -> list[str]:
        """The figures in words, one line each."""
        if self.kind == "agreement":
            lines = [f"{name}: {item.int8:.4f}, at least {1 - item.limit:g}" for name, item in figures.items()]
            return [*lines, "this is agreement with FP32, not accuracy: no labelled frames were given"]
        return [
            f"{name}: {item.fp32:.4f} in FP32, {item.int8:.4f} in INT8, may fall by {item.limit:g}"
            for name, item in figures.items()
        ]

    def check(self, spec: EngineSpec, figures: Mapping[str, GateFigure]) -> None:
        """Refuse INT8 that is worse than the limit allows.

        Raises
        ------
        EngineError
            With all figures.
        """
        if all(figure.holds for figure in figures.values()):
            return
        if self.kind == "agreement":
            text = ", ".join(f"{name} {item.int8:.4f}" for name, item in figures.items())
            text += f" against FP32 on the same frames; none may be below {1 - self.limit:g}"
        else:
            pairs = [f"{name} {item.fp32:.4f} in FP32 and {item.int8:.4f} in INT8" for name, item in figures.items()]
            text = ", ".join(pairs)
            text += f"; none may fall by more than {self.limit:g}"
        raise EngineError(f"INT8 of {spec.engine_id} is refused: {text}. Nothing was written; go on in FP32")


def public_gate(spec: EngineSpec, root: Path) -> Gate:
    """Mean Dice and sensitivity on the DDTI frames of the part ``val``, at the engine's own threshold."""
    folder = root / "thyroid_ddti"

    def frames() -> Iterator[LabelledFrame]:
        return read_labelled(folder, (folder / "val.txt").read_text(encoding="utf-8").split())

    return _accuracy_gate(spec, frames, "the live path on validation frames")


def labelled_gate(spec: EngineSpec, labelled: UserLabelledImages, calibrated: frozenset[str]) -> Gate:
    """Mean Dice and sensitivity on the user's own labelled frames, at the engine's own threshold.

    Parameters
    ----------
    labelled : already checked
    calibrated : digests of the images that set the ranges; the number of those among the labelled ones is recorded
    """
    shared = len(labelled.digests & calibrated)
    what = f"the live path on {len(labelled.pairs)} labelled frames of the user's own ({shared} of them set ranges too)"
    return _accuracy_gate(spec, labelled.read, what)


def agreement_gate(spec: EngineSpec, paths: Sequence[Path]) -> Gate:
    """How far INT8 agrees with FP32 on frames without labels, at the engine's own threshold.

    The figures are ``agreement_dice``: mean Dice of all outlines together, over the frames in which either precision
    finds something; and ``agreement_found``: 2 B / (F + I), for F nodules found in FP32, I in INT8 and B in both, which
    is Dice's formula for nodules. Two outlines are one nodule from an IoU of 0.3 on.

    Parameters
    ----------
    paths : images, not cropped
    """
    answers: list[bytes] = []

    def judge(engine: Engine) -> dict[str, float]:
        outcomes = _outcomes(spec, engine, read_unlabelled(paths))
        if engine.precision == spec.precision:
            found = 0
            for outcome in outcomes:
                answers.append(zlib.compress(outcome.labelmap.tobytes(), 1))
                found += bool(outcome.labelmap.any())
            if found < _MIN_FOUND:
                raise SourceError(
                    f"{spec.engine_id} finds something in {found} of {len(paths)} images, too few to compare INT8 "
                    f"with FP32; give {_MIN_FOUND} or more with nodules, or use --gate-images and --gate-masks"
                )
            return {"agreement_dice": 1.0, "agreement_found": 1.0}
        parts = [
            _agreement(np.frombuffer(zlib.decompress(answer), np.uint8), outcome.labelmap.ravel())
            for answer, outcome in zip(answers, outcomes, strict=True)
        ]
        dices = [dice for dice, _, _ in parts if dice is not None]
        both, nodules = sum(both for _, both, _ in parts), sum(nodules for _, _, nodules in parts)
        return {"agreement_dice": float(np.mean(dices)), "agreement_found": 2 * both / nodules}

    return Gate(
        kind="agreement",
        judge=judge,
        limit=AGREEMENT_LIMIT,
        method=f"agreement, not accuracy: no labelled frames were given, so the gate compares the live path in both "
        f"precisions on the frames that set the ranges, {_setting(spec)}",
    )


def input_size(spec: EngineSpec) -> tuple[int, int]:
    """Height and width of the engine's one input, px.

    Raises
    ------
    UsageError
        If it is not an ultrasound engine with one input of a fixed size.
    """
    image = spec.inputs[0]
    if spec.modality != "US" or len(spec.inputs) != 1 or image.layout != "NCHW" or None in image.shape:
        raise UsageError(
            f"{spec.engine_id} is not a 2-D ultrasound engine with one fixed input; use it in {spec.precision}"
        )
    height_px, width_px = image.shape[2:]
    assert height_px is not None
    assert width_px is not None
    return height_px, width_px


def _accuracy_gate(spec: EngineSpec, frames: Callable[[], Iterable[LabelledFrame]], what: str) -> Gate:
    def judge(engine: Engine) -> dict[str, float]:
        outcomes = _outcomes(spec, engine, frames())
        figures = compute_figures([tally(outcome) for outcome in outcomes], spec.labels[0].score_threshold)
        return {"dice": figures["dice_mean"].value, "sensitivity": figures["sensitivity"].value}

    method = f"the gate runs {what} in both precisions {_setting(spec)}"
    return Gate(kind="accuracy", judge=judge, limit=ACCURACY_LIMIT, method=method)


def _outcomes(spec: EngineSpec, engine: Engine, frames: Iterable[LabelledFrame]) -> Iterator[FrameOutcome]:
    return run_frames(engine.infer, input_size(spec), spec.labels, frames, domain=spec.domain)


def _setting(spec: EngineSpec) -> str:
    return f"on OpenVINO, at the score threshold {spec.labels[0].score_threshold:g}"


def _agreement(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> tuple[float | None, int, int]:
    """Dice of all outlines (None where both are empty), nodules that are in both, and nodules of both together."""
    sides = int(one.max()) + 1, int(other.max()) + 1
    joint_px = np.bincount(one.astype(np.intp) * sides[1] + other, minlength=sides[0] * sides[1]).reshape(sides)
    shared_px = joint_px[1:, 1:]
    one_px, other_px = joint_px[1:].sum(axis=1), joint_px[:, 1:].sum(axis=0)
    total_px = int(one_px.sum() + other_px.sum())
    if total_px == 0:
        return None, 0, 0
    overlap = shared_px / np.maximum(1, one_px[:, None] + other_px[None, :] - shared_px)
    nodules = int((one_px > 0).sum() + (other_px > 0).sum())
    return 2 * int(shared_px.sum()) / total_px, len(match_overlaps(overlap, MIN_IOU)), nodules
