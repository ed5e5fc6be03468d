"""From scores of slices and voxels to the scores of the study, outlines and a volume in mL."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from usassist.engine.findings import Findings
from usassist.frames.components import Component, Components, label_plane
from usassist.records import LabelSpec
from usassist.volumes import Measurement, PlaneScores, Volume

__all__ = [
    "OUTLINE_LEVEL",
    "decode_slices",
    "measure_label",
    "measure_scores",
    "outline",
    "plane_distance_mm",
    "score_study",
    "study_planes",
]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

OUTLINE_LEVEL = 0.5
"""A voxel is outlined from this ``mask_prob`` on."""

SCORE_REASON = "how often a study with this score has a haemorrhage was not measured"
KIND_REASON = "kinds of haemorrhage are learned from simulation alone and were checked on no real case"

_RUN_MM = 6.0  # a finding is scored over planes that cover so much
_RUN_PLANES = 3  # likewise, where the distance of the planes is not known
_THIN_MM = 3.0  # planes that are closer than this are averaged with their neighbours before they are outlined
_SMALLEST_ML = 0.1
_SMALLEST_MM2 = 20.0  # of a single slice
_LEAST_SPOT_PX = 40
_SMALLEST_VOXELS = 80  # where the spacing is not known


def plane_distance_mm(volume: Volume) -> float:
    """Distance of neighbouring planes at right angles to them, mm; less than that of voxels where the gantry tilts."""
    along_i, along_j, along_k = volume.affine_ijk_to_lps_mm[:3, :3].T
    normal = np.cross(along_i, along_j)
    return abs(float(normal @ along_k)) / float(np.linalg.norm(normal))


def study_planes(volume: Volume) -> int:
    """How many adjacent planes decide together: as many as cover 6 mm, and at least two of a volume."""
    depth = volume.shape_zyx[0]
    if not volume.spacing_is_known:
        return min(_RUN_PLANES, depth)
    return min(max(round(_RUN_MM / plane_distance_mm(volume)), 2), depth)


def score_study(scores: Float32Array, run: int) -> float:
    """The score of a study: the highest mean of the scores of `run` adjacent planes. One plane alone decides nothing.

    Parameters
    ----------
    scores : float32 (Z,), of the planes
    run : planes, see :func:`study_planes`
    """
    sums = np.concatenate([[0.0], np.cumsum(scores, dtype=np.float64)])
    return float(np.clip(np.max(sums[run:] - sums[:-run]) / run, 0.0, 1.0))


def outline(
    heat: UInt8Array,
    flagged: npt.NDArray[np.bool_],
    volume: Volume,
    labelmap: UInt8Array,
    report: Callable[[float], None],
) -> int:
    """Write the outlines into a labelmap: 1 = haemorrhage. What is too small, or in no flagged plane, is left out.

    Parameters
    ----------
    heat : uint8 (Z, Y, X), 0 to 255 for a ``mask_prob`` of 0 to 1, 0 outside of the skull
    flagged : bool (Z,), planes whose score is above the threshold
    volume : that they belong to
    labelmap : uint8 (Z, Y, X), zeros
    report : receives the share that is done

    Returns
    -------
    voxels : that were outlined
    """
    depth = len(heat)
    is_thin = depth >= 3 and volume.spacing_is_known and plane_distance_mm(volume) <= _THIN_MM
    parts = Components()
    for z in range(depth):
        parts.add(_above(heat, z, is_thin))
        report(0.5 * z / depth)
    smallest = _smallest_voxels(volume)
    total = 0
    for z in range(depth):
        count, labels, _ = label_plane(_above(heat, z, is_thin))
        keep = np.zeros(count, np.uint8)
        for label, part in enumerate(parts.of_plane(z), start=1):
            keep[label] = _is_kept(part, smallest, flagged)
        labelmap[z] = keep[labels]
        total += int(labelmap[z].sum())
        report(0.5 + 0.5 * (z + 1) / depth)
    return total


def measure_label(
    voxels: int, label: LabelSpec, volume: Volume, diameter_rel_sd: float | None
) -> tuple[Measurement, ...]:
    """Volume in mL of what was outlined; of a single slice its area in cm².

    A wrong spacing, and outlines that are drawn too wide, act on all lengths alike, so their relative uncertainties
    count three times in a volume and twice in an area. The expanded uncertainty has coverage factor 2 (JCGM 100:2008,
    5.1.2 and 6.2).

    Parameters
    ----------
    voxels : of that label; 0 = nothing was outlined
    diameter_rel_sd : relative standard uncertainty of a diameter of the engine's outlines; None = not measured
    """

    def missing(name: str, unit: str, reason: str) -> Measurement:
        return Measurement(name=f"{label.name}_{name}", value=None, unit=unit, reason=reason, label_id=label.id)

    is_slice = volume.shape_zyx[0] == 1
    name, unit, lengths = ("area", "cm2", 2) if is_slice else ("volume", "mL", 3)
    reason = ""
    if not voxels:
        reason = "nothing was outlined"
    elif not volume.spacing_is_known:
        reason = "the file states no spacing"
    if reason:
        answers = [missing(name, unit, reason)]
    else:
        per_voxel = volume.voxel_volume_mm3 / 1000.0
        if is_slice:
            per_voxel *= 10.0 / plane_distance_mm(volume)  # mm³ / mm = mm²; 100 mm² = 1 cm²
        value = voxels * per_voxel
        spreads = {"spacing": volume.spacing_rel_sd, "engine's outlines": diameter_rel_sd}
        unknown = [what for what, spread in spreads.items() if spread is None]
        u95 = None
        if not unknown:
            u95 = 2.0 * lengths * math.hypot(*(spread for spread in spreads.values() if spread is not None)) * value
        reason = f"the uncertainty of the {' and of the '.join(unknown)} was not measured" if unknown else ""
        answers = [
            Measurement(name=f"{label.name}_{name}", value=value, unit=unit, u95=u95, reason=reason, label_id=label.id)
        ]
    if is_slice:
        answers.append(missing("volume", "mL", "one slice is not a volume"))
    return tuple(answers)


def decode_slices(masks: Float32Array, label_id: int) -> Findings:
    """Spots of haemorrhage in the outputs of one call, for the comparison of two back ends.

    Parameters
    ----------
    masks : float32 (n, 1, h, w), ``mask_prob``
    label_id : that they get

    Returns
    -------
    findings : one for each connected spot of at least 40 px; its score is the highest in it
    """
    scores, spots = [], []
    for index, (mask,) in enumerate(masks):
        count, labels, stats = label_plane(mask >= OUTLINE_LEVEL)
        for label in range(1, count):
            if stats[label, 4] >= _LEAST_SPOT_PX:
                spot = np.zeros((len(masks), *mask.shape), np.bool_)
                spot[index] = labels == label
                spots.append(spot)
                scores.append(float(mask[spot[index]].max()))
    return Findings(label_id=np.full(len(scores), label_id), score=np.array(scores), masks=tuple(spots))


def measure_scores(scores: tuple[PlaneScores, ...], run: int) -> tuple[Measurement, ...]:
    """The score of the study for each label."""
    return tuple(
        Measurement(
            name="study_score",
            value=score_study(item.scores, run),
            unit="1",
            reason=KIND_REASON if item.label_id else SCORE_REASON,
            label_id=item.label_id,
        )
        for item in scores
    )


def _above(heat: UInt8Array, z: int, is_thin: bool) -> npt.NDArray[np.bool_]:
    """Which voxels of a plane are outlined, bool (Y, X); thin planes are averaged 1 : 2 : 1 with their neighbours."""
    level = OUTLINE_LEVEL * 255.0
    if not is_thin:
        return np.asarray(heat[z] >= level)
    total = heat[z].astype(np.uint16) * 2
    total += heat[max(z - 1, 0)]
    total += heat[min(z + 1, len(heat) - 1)]
    total[heat[z] == 0] = 0  # outside of the skull
    return np.asarray(total >= 4.0 * level)


def _is_kept(part: Component, smallest: float, flagged: npt.NDArray[np.bool_]) -> bool:
    return part.voxels >= smallest and bool(flagged[part.z_start : part.z_stop].any())


def _smallest_voxels(volume: Volume) -> float:
    if not volume.spacing_is_known:
        return float(_SMALLEST_VOXELS)
    if volume.shape_zyx[0] == 1:
        return _SMALLEST_MM2 * plane_distance_mm(volume) / volume.voxel_volume_mm3
    return _SMALLEST_ML * 1000.0 / volume.voxel_volume_mm3
