"""One CT study through an engine: voxels → windows → labelmap → mL."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tests.unit.modalities.example3d.postprocess import label_slab, measure_volume
from tests.unit.modalities.example3d.preprocess import window_hu
from usassist.engine import EngineSpec
from usassist.errors import EngineSpecError, VolumeError
from usassist.frames import blend_windows
from usassist.modalities import StudyRun, TaskEngine
from usassist.volumes import StudyAnswer, Volume

LOW_HU, HIGH_HU = 0.0, 100.0


class BrightRegionTask:
    """Outlines what the engine scores above its threshold, and measures it.

    Parameters
    ----------
    spec : of the engine; window and batch are the ones that it is fastest at
    """

    stages: ClassVar = {"preprocess": 1.0, "infer": 9.0}

    def __init__(self, spec: EngineSpec) -> None:
        (batch, _, *window_zyx) = spec.inputs[0].opt_shape
        self._spec, self._batch, self._window_zyx = spec, batch, tuple(window_zyx)

    def __call__(self, volume: Volume, engine: TaskEngine, run: StudyRun) -> StudyAnswer:
        """Raise ``VolumeError`` unless the volume is in HU."""
        if volume.unit != "HU":
            raise VolumeError(f"a CT must be in HU, got {volume.unit}; apply the rescale slope and intercept")
        depth = volume.shape_zyx[0]
        scaled = run.scratch((1, *volume.shape_zyx), np.float32)
        window_hu(volume, LOW_HU, HIGH_HU, scaled, lambda done: run.report("preprocess", done))
        labelmap = run.output("labelmap", volume.shape_zyx, np.uint8)
        counts = np.zeros(1 + len(self._spec.labels), np.int64)
        slabs = blend_windows(
            scaled,
            engine.infer,
            window_zyx=self._window_zyx,
            outputs=["score"],
            batch=self._batch,
            pad_value=-1.0,
        )
        for slab in slabs:
            labels = label_slab(slab.outputs["score"], self._spec.labels)
            labelmap[slab.z_start : slab.z_stop] = labels
            counts += np.bincount(labels.ravel(), minlength=len(counts))
            run.report("infer", slab.z_stop / depth)
        found = bool(counts[1:].any())
        sizes = [
            measure_volume(int(counts[1 + label.id]), label, volume, self._spec.diameter_rel_sd)
            for label in self._spec.labels
        ]
        return StudyAnswer(found=found, labelmap=labelmap, measurements=tuple(sizes))


def make_task(spec: EngineSpec) -> BrightRegionTask:
    """For the table of modalities."""
    image = spec.inputs[0]
    if image.layout != "NCDHW" or image.shape[1] != 1 or image.opt_shape is None or spec.input_range != (-1.0, 1.0):
        raise EngineSpecError(
            f"engine {spec.engine_id}: this modality needs one free NCDHW input of -1 to 1, got {image}"
        )
    return BrightRegionTask(spec)
