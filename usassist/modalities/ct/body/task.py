"""One CT of the abdomen through the engine: planes → compartments → tissues → areas, mean HU, volumes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from usassist.engine import EngineSpec
from usassist.errors import EngineSpecError, UsageError, VolumeError
from usassist.modalities.ct.body.checks import check_plane
from usassist.modalities.ct.body.levels import PlaneChoice, choose_planes, parse_levels
from usassist.modalities.ct.body.measures import MEASURED, area_reason, measure_plane, pixel_area_mm2, to_measurements
from usassist.modalities.ct.body.orientation import find_orientation
from usassist.modalities.ct.body.outline import body_box
from usassist.modalities.ct.body.postprocess import find_compartments
from usassist.modalities.ct.body.preprocess import SIZE_YX_PX, WINDOWS_HU, place, to_picture, window_planes
from usassist.modalities.ct.body.tissues import Compartment, Tissue, label_tissues
from usassist.modalities.protocols import StudyRun, StudyView, TaskEngine
from usassist.volumes import Measurement, StudyAnswer, Volume

__all__ = ["BodyOptions", "BodyTask", "make_body_task"]

_HEIGHT_M = (0.4, 2.6)
_BOUND = "the body reaches the edge of the picture: a lower bound"
_BOX_PLANES = 40  # the body's box is taken over at most this many planes


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyOptions:
    """What the user asks for.

    Attributes
    ----------
    level : see :func:`usassist.modalities.ct.body.levels.parse_levels`; None = L3, in a series of several planes
    plane : index of a plane that the user names for the level; None = it is searched for
    height_m : of the patient; None = that of the header, and without one no index is given
    on_choice : receives the planes that were chosen
    """

    level: str | None = None
    plane: int | None = None
    height_m: float | None = None
    on_choice: Callable[[PlaneChoice], None] | None = None

    def __post_init__(self) -> None:
        """Check level and height."""
        if self.level is not None:
            parse_levels(self.level)
        if self.height_m is not None and not _HEIGHT_M[0] <= self.height_m <= _HEIGHT_M[1]:
            raise UsageError(f"the height must lie from 0.4 to 2.6 m, got {self.height_m:g}; give it in metres")


class BodyTask:
    """Outlines tissues in the planes of the levels that were asked for, and measures them.

    The answer is a finding wherever tissues were outlined; it says nothing about whether they are normal. Planes that
    were not asked for stay empty in the labelmap.

    Parameters
    ----------
    spec : of the engine
    options : of the user
    """

    stages: ClassVar = {"levels": 2.0, "planes": 10.0}
    view: ClassVar = StudyView(
        title="Body composition",
        found="tissues outlined and measured",
        not_found="no tissue outlined",
        window_centre=40.0,
        window_width=400.0,
    )

    def __init__(self, spec: EngineSpec, options: BodyOptions | None = None) -> None:
        self._spec, self.options = spec, options or BodyOptions()
        self._batch = spec.inputs[0].opt_shape[0] if spec.inputs[0].opt_shape else 1
        self._header_height_m: float | None = None

    def with_options(self, **options: Any) -> BodyTask:
        """The same with other :class:`BodyOptions`.

        Raises
        ------
        UsageError
            If there is no such option, or its value cannot be used.
        """
        known = {item.name for item in dataclasses.fields(BodyOptions)}
        unknown = sorted(options.keys() - known)
        if unknown:
            raise UsageError(f"body composition has no option {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        return BodyTask(self._spec, dataclasses.replace(self.options, **options))

    def unfit(self, facts: Any) -> str:
        """Why the header speaks against a series, where there are several; empty where nothing does."""
        from usassist.modalities.ct.suitable import abdomen_reason

        return abdomen_reason(facts)

    def refuse(self, facts: Any, volume: Volume) -> None:
        """Raise ``VolumeError`` with the reason where a series is not a CT of the abdomen; remember the height.

        Parameters
        ----------
        facts : ``sources.volumes.SeriesFacts``
        volume : of the series
        """
        from usassist.modalities.ct.suitable import refuse_abdomen

        refuse_abdomen(facts, volume, level_is_given=self.options.level is not None)
        self._header_height_m = facts.patient.height_m

    def __call__(self, volume: Volume, engine: TaskEngine, run: StudyRun) -> StudyAnswer:
        """Raise ``VolumeError`` where the volume is not in HU, not transverse, or does not show the level."""
        if volume.unit != "HU":
            raise VolumeError(f"a CT must be in HU, got {volume.unit}; apply the rescale slope and intercept")
        run.report("levels", 0.0)
        choice = choose_planes(volume, parse_levels(self.options.level or "L3"), self.options.plane)
        if self.options.on_choice is not None:
            self.options.on_choice(choice)
        run.report("levels", 1.0)
        labelmap = run.output("labelmap", volume.shape_zyx, np.uint8)
        self._segment(volume, choice, engine, run, labelmap)
        return StudyAnswer(
            found=bool(labelmap[choice.first : choice.stop].any()),
            labelmap=labelmap,
            measurements=tuple(self._measure(volume, choice, labelmap)),
        )

    def _segment(
        self,
        volume: Volume,
        choice: PlaneChoice,
        engine: TaskEngine,
        run: StudyRun,
        labelmap: npt.NDArray[np.uint8],
    ) -> None:
        turned = find_orientation(volume)
        spacing = turned.spacing_yx_mm(volume)
        pixel_mm2 = pixel_area_mm2(volume)
        count = choice.stop - choice.first
        step = math.ceil(count / _BOX_PLANES)
        box = body_box((turned.turn(volume.voxels[z]) for z in range(choice.first, choice.stop, step)), spacing)
        placement = place(box, spacing)
        buffer = np.zeros((self._batch, len(WINDOWS_HU), *SIZE_YX_PX), np.float32)
        for start in range(choice.first, choice.stop, self._batch):
            planes = range(start, min(start + self._batch, choice.stop))
            for row, z in zip(buffer, planes, strict=False):
                window_planes(to_picture(turned.turn(volume.voxels[z]), placement), row)
            found = engine.infer({"image": buffer[: len(planes)]})["compartment_prob"]
            for row, z in zip(found, planes, strict=True):
                plane = turned.turn(volume.voxels[z])
                labels = label_tissues(find_compartments(row, plane, placement, pixel_mm2), plane)
                labelmap[z] = turned.turn_back(labels)
            run.report("planes", (planes.stop - choice.first) / count)

    def _measure(self, volume: Volume, choice: PlaneChoice, labelmap: npt.NDArray[np.uint8]) -> list[Measurement]:
        turned = find_orientation(volume)
        spacing, pixel_mm2, rel_sd = turned.spacing_yx_mm(volume), pixel_area_mm2(volume), self._spec.diameter_rel_sd
        height_m = self.options.height_m or self._header_height_m
        made_up = "" if volume.spacing_is_known else "the file does not state the spacing; 1 mm was assumed"
        records: list[Measurement] = []
        for name, level in choice.levels.items():
            labels, plane = labelmap[level.plane], volume.voxels[level.plane]
            checks = check_plane(turned.turn(labels), turned.turn(plane), spacing)
            bound = _BOUND if checks.is_cut_off else ""
            measures = measure_plane(labels, plane, pixel_mm2, level.plane)
            records += to_measurements(
                measures, name.lower(), volume, rel_sd, bound=made_up or bound, height_m=height_m
            )
        if len(choice.levels) > 1:
            records += self._volumes(volume, choice, labelmap, made_up)
        return records

    def _volumes(
        self, volume: Volume, choice: PlaneChoice, labelmap: npt.NDArray[np.uint8], made_up: str
    ) -> list[Measurement]:
        counts = np.zeros(len(Tissue) + 1, np.int64)
        turned, bound = find_orientation(volume), ""
        spacing = turned.spacing_yx_mm(volume)
        for z in range(choice.first, choice.stop):
            counts += np.bincount(labelmap[z].ravel(), minlength=len(counts))
            if not bound and check_plane(turned.turn(labelmap[z]), turned.turn(volume.voxels[z]), spacing).is_cut_off:
                bound = _BOUND
        reason = area_reason(volume, self._spec.diameter_rel_sd, made_up or bound)
        rel_sd = 0.0 if reason else math.hypot(volume.spacing_rel_sd or 0.0, self._spec.diameter_rel_sd or 0.0)
        records = []
        for tissue in MEASURED:
            value_ml = float(counts[tissue + 1]) * volume.voxel_volume_mm3 / 1000.0
            u95 = None if reason else 2.0 * 3.0 * rel_sd * value_ml  # a volume is a length cubed
            name = f"{tissue.name.lower()}_volume"
            records.append(
                Measurement(name=name, value=value_ml, unit="mL", u95=u95, reason=reason, label_id=int(tissue))
            )
        return records


def make_body_task(spec: EngineSpec, options: BodyOptions | None = None) -> BodyTask:
    """For the table of modalities.

    Raises
    ------
    EngineSpecError
        If the engine does not have the inputs, outputs and labels of body composition.
    """
    image, channels = spec.inputs[0], len(Compartment)
    fits = (
        image.name == "image"
        and tuple(image.shape[1:]) == (len(WINDOWS_HU), *SIZE_YX_PX)
        and len(spec.outputs) == 1
        and spec.outputs[0].name == "compartment_prob"
        and tuple(spec.outputs[0].shape[1:]) == (channels, *SIZE_YX_PX)
        and [label.name for label in spec.labels] == [tissue.name.lower() for tissue in Tissue]
    )
    if not fits:
        raise EngineSpecError(
            f"engine {spec.engine_id}: body composition needs an input image of {len(WINDOWS_HU)} windows, an output "
            f"compartment_prob of {channels} compartments, and its labels; use ct_bodycomp"
        )
    return BodyTask(spec, options)
