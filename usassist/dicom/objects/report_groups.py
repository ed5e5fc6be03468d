"""The measurement groups of one nodule in the structured report: outline with sizes, calipers, what two planes give.

A planar group (DICOM PS3.16 TID 1410) must not hold measurements with coordinates of their own, because its region is
what was measured; so the calipers, whose end points are known, are in a second group (TID 1501) with the same tracking
UID.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CoordinatesForMeasurement,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)

from usassist.dicom.objects import terms
from usassist.dicom.objects.content import FrameReference, Point, Size, SweepContent
from usassist.dicom.objects.report_descriptors import describe
from usassist.dicom.objects.report_items import coded, comment, make_evaluation, make_number
from usassist.dicom.objects.shown import Shown, describe_algorithm

__all__ = ["Group", "groups_of"]

Group = PlanarROIMeasurementsAndQualitativeEvaluations | MeasurementsAndQualitativeEvaluations

_CALIPERS = ("longest_diameter", "across")
_AREAS = ("area",)


def groups_of(content: SweepContent, shown: Shown) -> Iterator[Group]:
    """The groups of a nodule on one frame.

    Parameters
    ----------
    content : of the sweep
    shown : a nodule and the frame
    """
    calipers = _calipers(shown)
    yield _planar(content, shown, with_calipers=not calipers)
    if calipers:
        yield MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(shown),
            finding_category=coded(terms.ABNORMAL_STRUCTURE),
            finding_type=coded(terms.NODULE),
            finding_sites=[_site(shown)],
            algorithm_id=_algorithm(content, shown),
            measurements=calipers,
            source_images=[_image(shown.reference)],
        )
    if shown.is_best and shown.nodule.dimensions is not None:
        yield _over_planes(content, shown)


def _planar(
    content: SweepContent, shown: Shown, *, with_calipers: bool
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    found, calibrated = shown.found, bool(content.engine.score_calibration_id)
    names = [name for name in found.sizes if with_calipers or name not in _CALIPERS]
    measurements = [_size(shown, name, found.sizes[name]) for name in names]
    if found.ap_t is not None and not found.cut and shown.section.plane == "transverse":
        low, high = found.ap_t_low, found.ap_t_high
        measurements.append(
            make_number(
                terms.AP_T,
                found.ap_t,
                terms.RATIO,
                lower=None if low is None else found.ap_t - low,
                upper=None if high is None else high - found.ap_t,
            )
        )
    score = (terms.CERTAINTY_OF_FINDING, 100.0 * found.score, terms.PERCENT)
    measurements.append(make_number(*(score if calibrated else (terms.RAW_SCORE, found.score, terms.ONE))))
    if shown.is_best:
        measurements.append(make_number(terms.FRAMES_SEEN, shown.nodule.frames, terms.FRAMES))
        measurements.append(make_number(terms.FRAMES_CUT, shown.nodule.frames_cut, terms.FRAMES))
    evaluations, texts = describe(shown.nodule) if shown.is_best else ([], [])
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(shown),
        finding_category=coded(terms.ABNORMAL_STRUCTURE),
        finding_type=coded(terms.NODULE),
        finding_sites=[_site(shown)],
        algorithm_id=_algorithm(content, shown),
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=_closed(found.contour_xy_px),
            source_image=_source(shown.reference),
        ),
        measurements=measurements,
        qualitative_evaluations=[*_states(shown), *evaluations],
    )
    group[0].ContentSequence.extend(comment(text) for text in texts)
    return group


def _size(shown: Shown, name: str, size: Size, coordinates: tuple[CoordinatesForMeasurement, ...] = ()) -> Measurement:
    """A size in mm with its interval, else in px; a lower bound, without an interval, where the nodule is cut."""
    cut = bool(shown.found.cut)
    concept = terms.LOWER_BOUNDS[name] if cut else terms.SIZES[name]
    if size.mm is None or (size.u95_mm is None and not cut):  # no mm without an uncertainty
        return make_number(concept, size.px, terms.PIXELS, coordinates=coordinates)
    unit = terms.MM2 if name in _AREAS else terms.MM
    u95 = None if cut else size.u95_mm
    return make_number(concept, size.mm, unit, lower=u95, upper=u95, coordinates=coordinates)


def _calipers(shown: Shown) -> list[Measurement]:
    """Both axes with their end points, where they were recorded and the nodule is whole."""
    found, measurements = shown.found, []
    if found.cut:
        return []
    for name, ends in zip(_CALIPERS, (found.major_ends_xy_px, found.minor_ends_xy_px), strict=True):
        if ends is None or name not in found.sizes:
            return []
        line = CoordinatesForMeasurement(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=_within(ends, shown.frame.hw_px),
            source_image=_source(shown.reference),
        )
        measurements.append(_size(shown, name, found.sizes[name], (line,)))
    return measurements


def _over_planes(content: SweepContent, shown: Shown) -> MeasurementsAndQualitativeEvaluations:
    """Three diameters and the volume of the ellipsoid, from the two planes that a person has marked."""
    nodule = shown.nodule
    dimensions = nodule.dimensions
    assert dimensions is not None
    measurements = [
        make_number(name, quantity.value, unit, lower=quantity.u95, upper=quantity.u95)
        for name, quantity, unit in (
            (terms.LENGTH, dimensions.length_mm, terms.MM),
            (terms.WIDTH, dimensions.width_mm, terms.MM),
            (terms.DEPTH, dimensions.depth_mm, terms.MM),
            (terms.ELLIPSOID_VOLUME, dimensions.volume_ml, terms.CM3),
        )
    ]
    planes = [section for section in (nodule.longitudinal, nodule.transverse) if section is not None]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(shown),
        finding_category=coded(terms.ABNORMAL_STRUCTURE),
        finding_type=coded(terms.NODULE),
        finding_sites=[_site(shown)],
        algorithm_id=_algorithm(content, shown),
        measurements=measurements,
        source_images=[_image(content.reference(section.frame_index)) for section in planes],
    )


def _states(shown: Shown) -> Iterator[QualitativeEvaluation]:
    """Whether the nodule is whole, whether there is a scale, and which plane this is."""
    yield make_evaluation(terms.CUT, terms.CUT_STATES[shown.found.cut])
    yield make_evaluation(terms.SCALE, terms.SCALE_STATES[shown.frame.spacing_rc_mm is not None])
    if shown.section.plane in terms.PLANES:
        yield make_evaluation(terms.PLANE, terms.PLANES[shown.section.plane], basis=terms.BASES["confirmed"])


def _algorithm(content: SweepContent, shown: Shown) -> AlgorithmIdentification:
    """What made the answer of the frame (DICOM PS3.16 TID 4019)."""
    used = describe_algorithm(content, shown)
    parameters = [f"{name}: {value}" for name, value in used.parameters.items()]
    return AlgorithmIdentification(used.name, used.version, parameters, manufacturer=content.engine.manufacturer)


def _site(shown: Shown) -> FindingSite:
    if shown.section.side == "isthmus":
        return FindingSite(anatomic_location=coded(terms.ISTHMUS))
    side = terms.SIDES.get(shown.section.side or "")
    return FindingSite(anatomic_location=coded(terms.THYROID), laterality=None if side is None else coded(side))


def _tracking(shown: Shown) -> TrackingIdentifier:
    return TrackingIdentifier(uid=shown.tracking_uid, identifier=shown.tracking_id)


def _image(reference: FrameReference) -> SourceImageForMeasurementGroup:
    """A frame of the cine, as the source of a group."""
    return SourceImageForMeasurementGroup(
        referenced_sop_class_uid=reference.sop_class_uid,
        referenced_sop_instance_uid=reference.sop_instance_uid,
        referenced_frame_numbers=[reference.frame_number],
    )


def _source(reference: FrameReference) -> SourceImageForRegion:
    return SourceImageForRegion(
        referenced_sop_class_uid=reference.sop_class_uid,
        referenced_sop_instance_uid=reference.sop_instance_uid,
        referenced_frame_numbers=[reference.frame_number],
    )


def _closed(contour_xy_px: np.ndarray) -> np.ndarray:
    """The outline with its first point again at the end, which closes a POLYLINE (DICOM PS3.3 C.18.6.1.2).

    Coordinates of both have their origin at the corner of the first pixel, so nothing is shifted.
    """
    return np.vstack([contour_xy_px, contour_xy_px[:1]])


def _within(ends: tuple[Point, Point], hw_px: tuple[int, int]) -> np.ndarray:
    """Both ends, within the image as (0070,0022) has to be: an end of the short axis may lie beside the outline."""
    height, width = hw_px
    return np.clip(np.asarray(ends, np.float32), 0.0, np.array([width, height], np.float32))
