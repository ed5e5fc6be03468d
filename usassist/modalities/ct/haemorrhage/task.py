"""One head CT through the haemorrhage engine: voxels → scores of slices and voxels → outlines, mL."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from usassist.engine import EngineSpec
from usassist.engine.comparison import Decoder
from usassist.errors import EngineError, EngineSpecError, VolumeError
from usassist.modalities.ct.haemorrhage.postprocess import (
    decode_slices,
    measure_label,
    measure_scores,
    outline,
    score_study,
    study_planes,
)
from usassist.modalities.ct.haemorrhage.preprocess import (
    INPUT_SIDE_PX,
    WINDOWS,
    HeadSquare,
    crop_head,
    find_head,
    place_back,
    window_planes,
)
from usassist.modalities.ct.haemorrhage.skull import find_inside
from usassist.modalities.ct.suitable import SeriesLike, head_reason, refuse_head
from usassist.modalities.protocols import StudyRun, StudyView, TaskEngine
from usassist.volumes import PlaneScores, StudyAnswer, Volume

__all__ = ["HaemorrhageTask", "make_haemorrhage_decoder", "make_haemorrhage_task"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

_MASK, _SCORE = "mask_prob", "slice_prob"
_LEAST_INSIDE = (
    0.025  # of the crop, 10 cm² of an adult head: with less, as at the foramen magnum, a plane is not scored
)


class HaemorrhageTask:
    """Scores every plane, outlines haemorrhage inside of the skull, and measures it.

    A study is a finding where its score reaches the threshold of the first label, which stands for any haemorrhage. The
    other labels are kinds of it. Planes that show nothing of the inside of a skull have the score 0.

    Parameters
    ----------
    spec : of the engine
    """

    stages: ClassVar = {"head": 1.0, "slices": 12.0, "outlines": 1.5}
    view: ClassVar = StudyView(
        title="Intracranial haemorrhage",
        found="haemorrhage suspected",
        not_found="no haemorrhage found",
        window_centre=40.0,
        window_width=80.0,
    )

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        batch, image = spec.inputs[0].shape[0], spec.inputs[0]
        self._fixed_batch = batch is not None
        self._batch = batch or (image.opt_shape[0] if image.opt_shape else 8)

    def unfit(self, facts: SeriesLike) -> str:
        """Why the header speaks against a series, where there are several; empty where nothing does."""
        return head_reason(facts)

    def refuse(self, facts: SeriesLike, volume: Volume) -> None:
        """Raise ``VolumeError`` with the reason where a series is not a plain CT of a head.

        Parameters
        ----------
        facts : ``sources.volumes.SeriesFacts``
        volume : of the series
        """
        refuse_head(facts, volume)

    def __call__(self, volume: Volume, engine: TaskEngine, run: StudyRun) -> StudyAnswer:
        """Raise ``VolumeError`` where the volume is not in HU or shows no skull."""
        if volume.unit != "HU":
            raise VolumeError(f"a CT must be in HU, got {volume.unit}; apply the rescale slope and intercept")
        voxels, depth = volume.voxels, volume.shape_zyx[0]
        square = find_head(voxels, lambda z: run.report("head", (z + 1) / depth))
        heat = run.output("heat", volume.shape_zyx, np.uint8)
        scores = self._infer(volume, square, engine, run, heat)
        planes = study_planes(volume)
        label = self._spec.labels[0]
        found = score_study(scores[:, 0], planes) >= label.score_threshold
        labelmap = run.output("labelmap", volume.shape_zyx, np.uint8)
        count = 0
        if found:
            flagged = scores[:, 0] >= label.score_threshold
            count = outline(heat, flagged, volume, labelmap, lambda done: run.report("outlines", done))
        plane_scores = tuple(
            PlaneScores(name=item.name, label_id=item.id, scores=np.ascontiguousarray(scores[:, item.id]))
            for item in self._spec.labels
        )
        return StudyAnswer(
            found=found,
            labelmap=labelmap,
            heat=heat,
            plane_scores=plane_scores,
            measurements=(
                *measure_scores(plane_scores, planes),
                *measure_label(count, label, volume, self._spec.diameter_rel_sd),
            ),
        )

    def _infer(
        self, volume: Volume, square: HeadSquare, engine: TaskEngine, run: StudyRun, heat: UInt8Array
    ) -> Float32Array:
        """Fill `heat`, and give the scores of planes, float32 (Z, K)."""
        depth, *shape_yx = volume.shape_zyx
        scores = np.zeros((depth, len(self._spec.labels)), np.float32)
        buffer = np.zeros((self._batch, len(WINDOWS), INPUT_SIDE_PX, INPUT_SIDE_PX), np.float32)
        seen = 0
        for start in range(0, depth, self._batch):
            stop = min(start + self._batch, depth)
            inside = []
            for index, z in enumerate(range(start, stop)):
                crop = crop_head(volume.voxels[z], square)
                window_planes(crop, buffer[index])
                inside.append(find_inside(crop))
            count = stop - start
            outputs = engine.infer({self._spec.inputs[0].name: buffer if self._fixed_batch else buffer[:count]})
            masks, slices = self._checked(outputs, count)
            for index, z in enumerate(range(start, stop)):
                if inside[index].mean() < _LEAST_INSIDE:
                    continue
                seen += 1
                scores[z] = slices[index]
                heat[z] = _heat(masks[index, 0], inside[index], square, (shape_yx[0], shape_yx[1]))
            run.report("slices", stop / depth)
        if not seen:
            raise VolumeError("no plane shows the inside of a skull; pass an unenhanced CT of the head")
        return scores

    def _checked(self, outputs: Any, count: int) -> tuple[Float32Array, Float32Array]:
        """Masks (n, 1, h, w) and scores (n, K) of one call, 0 to 1."""
        masks = np.asarray(outputs[_MASK][:count], np.float32)
        slices = np.asarray(outputs[_SCORE][:count], np.float32)
        for name, array in ((_MASK, masks), (_SCORE, slices)):
            if not ((array >= -1e-3) & (array <= 1.0 + 1e-3)).all():  # false also where a value is not a number
                raise EngineError(f"output {name} of the engine must lie from 0 to 1; install the engine again")
        return masks.clip(0.0, 1.0), slices.clip(0.0, 1.0)


def _heat(
    mask: Float32Array, inside: npt.NDArray[np.bool_], square: HeadSquare, shape_yx: tuple[int, int]
) -> UInt8Array:
    """Scores of voxels, uint8 (Y, X), 0 outside of the skull; inside of it at least 1."""
    values = place_back(mask, square, shape_yx)
    within = place_back(inside.astype(np.float32), square, shape_yx) >= 0.5
    return np.where(within, np.maximum(np.rint(values * 255.0), 1.0), 0.0).astype(np.uint8)


def make_haemorrhage_task(spec: EngineSpec) -> HaemorrhageTask:
    """The task of an engine that scores and outlines haemorrhage.

    Raises
    ------
    EngineSpecError
        If the engine has other tensors or labels than the task needs.
    """
    image = spec.inputs[0]
    sides = (len(WINDOWS), INPUT_SIDE_PX, INPUT_SIDE_PX)
    if image.layout != "NCHW" or image.shape[1:] != sides or spec.input_range != (0.0, 1.0):
        raise EngineSpecError(
            f"engine {spec.engine_id}: CT head needs one NCHW input [?, 3, 256, 256] of 0 to 1, got {image}"
        )
    outputs = {tensor.name: tensor for tensor in spec.outputs}
    if not {_MASK, _SCORE} <= set(outputs) or outputs[_SCORE].shape[-1] != len(spec.labels):
        raise EngineSpecError(
            f"engine {spec.engine_id}: CT head needs the outputs {_MASK} and {_SCORE}, and a score for each of "
            f"{len(spec.labels)} labels; got {', '.join(map(str, spec.outputs))}"
        )
    return HaemorrhageTask(spec)


def make_haemorrhage_decoder(spec: EngineSpec) -> Decoder | None:
    """The decoder of the outlines of slices, for the comparison of two back ends; None where the engine has none."""
    if _MASK not in {tensor.name for tensor in spec.outputs}:
        return None
    return lambda outputs: decode_slices(np.asarray(outputs[_MASK], np.float32), spec.labels[0].id)
