"""One ultrasound frame through an engine: pixels → tensor → outlines → sizes and descriptors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.calibrate import DEFAULT_POINT, ScoreCalibration
from usassist.calibrate.platt import at_least
from usassist.engine import Domain, EngineSpec
from usassist.engine.comparison import Decoder
from usassist.engine.findings import Findings
from usassist.errors import EngineSpecError, UsageError
from usassist.frames import ScanBorder, fill_labelmap, find_cut, find_scan_border, measure, to_grey
from usassist.modalities.protocols import TaskEngine
from usassist.modalities.ultrasound.descriptors import DescriptorModel
from usassist.modalities.ultrasound.postprocess import MASK_STRIDE_PX, decode
from usassist.modalities.ultrasound.preprocess import preprocess
from usassist.records import Answer, Descriptors, Detections, Frame, LabelSpec, Segmentation

__all__ = ["UltrasoundTask", "check_outputs", "make_decoder", "make_task"]

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

_NODULE_OUTPUTS = ("mask_prob", "center_score", "box_ltrb_px")


class UltrasoundTask:
    """Detects, outlines, measures and describes in one frame. Keeps its input buffer from frame to frame.

    On a frame that the engine judges not to show what it was made for, it abstains. Each frame is judged on its own.

    Parameters
    ----------
    size_hw_px : height and width of the engine's input ``image``
    labels : of the engine
    diameter_rel_sd : relative standard uncertainty of the engine's outlines; without it nothing is given in mm
    scores : score calibration of the engine; without it scores stay raw and each label is cut at its own threshold
    point : operating point of `scores` at which it is cut
    descriptors : of the engine; without it nodules are not described, which takes no time
    domain : of the engine; without it the engine never abstains
    candidates : True: an answer holds every candidate that the point's association may show, down to its ``release``,
        without sizes and descriptors. Those that are shown are chosen in the order of the frames, see ``answers.py``
    ap_t_rel_sd : relative standard uncertainty of the AP/T ratio of the engine's outlines; None = not measured

    Raises
    ------
    CalibrationError
        If `scores` has other labels than the engine.
    UsageError
        If `scores` has no such point, or candidates are asked for where it has no association.
    """

    def __init__(
        self,
        size_hw_px: tuple[int, int],
        labels: tuple[LabelSpec, ...],
        diameter_rel_sd: float | None,
        scores: ScoreCalibration | None = None,
        point: str = DEFAULT_POINT,
        descriptors: DescriptorModel | None = None,
        domain: Domain | None = None,
        *,
        candidates: bool = False,
        ap_t_rel_sd: float | None = None,
    ) -> None:
        self._size_hw_px = size_hw_px
        self._labels = labels
        self._diameter_rel_sd, self._ap_t_rel_sd = diameter_rel_sd, ap_t_rel_sd
        self._scores = scores
        self._descriptors = descriptors
        self._domain = domain
        self._candidates = candidates
        self._least = np.float32(0.0)
        rule = None if scores is None else scores.point(point).association
        if candidates and rule is None:
            raise UsageError(f"operating point {point} has no association over frames; answer each frame alone")
        if scores is not None:
            scores.check_labels([label.name for label in labels])
            least = rule.release if candidates and rule is not None else scores.point(point).score
            self._least = at_least(least)
            self._labels = tuple(
                dataclasses.replace(label, score_threshold=scores.raw_score(least, label.id)) for label in labels
            )
        self._tensor = np.empty((1, 1, *size_hw_px), np.float32)

    def __call__(self, frame: Frame, engine: TaskEngine) -> Answer:
        """Process one frame; detections come with the best raw score first. Nothing is decoded where it abstains.

        Raises
        ------
        EngineError
            If the engine fails or its output cannot be read.
        """
        tensor, image_to_input = preprocess(frame.image, self._size_hw_px, self._tensor)
        outputs = engine.infer({"image": tensor})
        prob = None if self._domain is None else self._domain.read_prob(outputs)
        if self._domain is not None and prob is not None and (reason := self._domain.why_abstain(prob)):
            return Answer(domain_prob=prob, abstains=reason)
        border = functools.cache(lambda: find_scan_border(frame.image))
        detections, segmentation = decode(
            outputs, image_to_input, frame.image_hw_px, self._labels, border=border, calibrate=self._calibrated
        )
        if self._candidates:
            return Answer(detections=detections, segmentation=segmentation, domain_prob=prob, on_the_way=border)
        return self.complete(frame, detections, segmentation, prob, border)

    def complete(
        self,
        frame: Frame,
        detections: Detections,
        segmentation: Segmentation,
        domain_prob: float | None = None,
        border: Callable[[], ScanBorder] | None = None,
    ) -> Answer:
        """Add sizes and descriptors to what is shown of a frame on which the engine did not abstain.

        `border` gives that of the visible scan, where it was found for the candidates; without it, it is found here.
        """
        known = None if border is None or not len(segmentation) else border()
        cut = find_cut(segmentation, frame.image, border=known)
        sizes = measure(
            segmentation, frame.spacing_rc_mm, frame.spacing_rel_sd, self._diameter_rel_sd, cut, self._ap_t_rel_sd
        )
        return Answer(
            detections=detections,
            segmentation=segmentation,
            measurements=sizes,
            descriptors=self._described(frame, segmentation),
            domain_prob=domain_prob,
        )

    def _described(self, frame: Frame, segmentation: Segmentation) -> Descriptors:
        model = self._descriptors
        if model is None or not model.tables or not len(segmentation):
            return ()
        grey = to_grey(frame.image)
        return tuple(model.estimate(grey, outline) for outline in segmentation)

    def _calibrated(self, raw: Float32Array, label_id: Int32Array) -> Float32Array:
        """Calibrated scores (N,) for raw ones, none of them below the least that is asked for."""
        if self._scores is None:
            return raw
        if len(kinds := set(label_id.tolist())) == 1:
            return np.maximum(self._scores.calibrated(raw, kinds.pop()), self._least)
        score = raw.copy()
        for kind in kinds:
            rows = label_id == kind
            score[rows] = self._scores.calibrated(raw[rows], kind)
        return np.maximum(score, self._least)


def make_task(
    spec: EngineSpec,
    scores: ScoreCalibration | None,
    point: str,
    descriptors: DescriptorModel | None,
    *,
    candidates: bool = False,
) -> UltrasoundTask:
    """The task of an ultrasound engine, for the table of modalities.

    Raises
    ------
    EngineSpecError
        If its input is not one that :func:`preprocess` makes, or its outputs are not those that :func:`decode` reads.
    CalibrationError, UsageError
        As :class:`UltrasoundTask`.
    """
    check_outputs(spec)
    image = spec.inputs[0]
    height, width = image.shape[-2:]
    if image.layout != "NCHW" or height is None or width is None or spec.color != "GRAY":
        raise EngineSpecError(
            f"engine {spec.engine_id}: ultrasound needs one grey NCHW input of fixed size, got {image}; export it so"
        )
    if (spec.input_range, spec.mean, spec.std) != ((0.0, 1.0), (0.0,), (1.0,)):
        raise EngineSpecError(
            f"engine {spec.engine_id}: ultrasound input is scaled to 0 to 1; put any other scaling into the graph"
        )
    return UltrasoundTask(
        (height, width),
        spec.labels,
        spec.diameter_rel_sd,
        scores,
        point,
        descriptors,
        spec.domain,
        candidates=candidates,
        ap_t_rel_sd=spec.ap_t_rel_sd,
    )


def check_outputs(spec: EngineSpec) -> None:
    """See that an engine has the outputs that :func:`decode` reads, and that of its domain, and no others.

    Raises
    ------
    EngineSpecError
        Naming the expected outputs and those found.
    """
    expected, found = _expected_outputs(spec), [tensor.name for tensor in spec.outputs]
    if set(found) != set(expected):
        raise EngineSpecError(
            f"engine {spec.engine_id}: the outputs must be {', '.join(expected)}, found {', '.join(found)}; export it "
            "so, and name the output that gives the probability of the domain in the table [domain] of engine.toml"
        )


def make_decoder(spec: EngineSpec) -> Decoder | None:
    """The decoder of an ultrasound engine's outputs: boxes and masks in pixels of its input, as a stream decodes them.

    None where the engine has other outputs. The output of its domain is compared as a tensor: findings are decoded also
    where the engine would abstain, so that back ends are compared on all inputs.
    """
    if {tensor.name for tensor in spec.outputs} != set(_expected_outputs(spec)):
        return None

    def read(outputs: Mapping[str, Array]) -> Findings:
        height_px, width_px = (MASK_STRIDE_PX * side for side in outputs["mask_prob"].shape[-2:])
        detections, segmentation = decode(outputs, np.eye(2, 3), (height_px, width_px), spec.labels)
        labelmap = fill_labelmap(segmentation, (height_px, width_px))
        return Findings(
            label_id=detections.label_id,
            score=detections.score,
            boxes=detections.xyxy_px,
            masks=tuple(labelmap == index + 1 for index in range(len(segmentation))),
        )

    return read


def _expected_outputs(spec: EngineSpec) -> tuple[str, ...]:
    return _NODULE_OUTPUTS if spec.domain is None else (*_NODULE_OUTPUTS, spec.domain.output)
