"""The outlines of a study as a segmentation of its images (DICOM PS3.3 A.51), made with highdicom.

Each frame of the segmentation lies where its image lies, as the image says it, also where the gantry was tilted or the
planes are not equally far apart. Of a tilted or irregular stack it is not said that the frames are a volume (Dimension
Organization Type ``3D``), because receivers then compute the positions from the first one.
"""

from __future__ import annotations

import warnings
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import format_number_as_ds

from usassist.dicom.common import short_text
from usassist.dicom.objects.report_items import coded
from usassist.dicom.studies.source import SERIES_NUMBERS, StudyContent
from usassist.errors import DicomError, UsageError

__all__ = ["make_segmentation"]

_KINDS = {"seg": ("BINARY", "Segmentation"), "labelmap": ("LABELMAP", "Label map")}
_STRAIGHT = 1e-4  # largest distance of a position from a regular stack, as a share of the distance of planes


def make_segmentation(content: StudyContent, *, kind: str = "seg") -> Dataset:
    """The labelmap of a study as a segmentation.

    Planes without a label have no frame, and labels without a voxel no segment.

    Parameters
    ----------
    content : of the study
    kind : ``seg`` (binary, one frame for each segment and plane) or ``labelmap``

    Raises
    ------
    UsageError
        If nothing was outlined: a segmentation without segments is none.
    DicomError
        If the images say not where they lie, or the labelmap is on another grid.
    """
    planes, numbers = content.labelled_planes(), content.present_labels()
    if not planes:
        raise UsageError("nothing was outlined in the study, so there is no segmentation; write the report alone")
    _check_source(content)
    source = content.source
    files = [0] if source.is_multi_frame else [source.file_of_plane[z] for z in planes]
    images = source.for_highdicom(files)
    for image in images[1:]:  # rounded differently from image to image, they are one orientation
        image.ImageOrientationPatient = images[0].ImageOrientationPatient
    segmentation_type, description = _KINDS[kind]
    more: dict[str, Any] = {}
    if source.is_multi_frame:
        more["plane_positions"] = [
            hd.PlanePositionSequence(coordinate_system="PATIENT", image_position=_position(content, z)) for z in planes
        ]
    engine = content.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the images
        try:
            made = hd.seg.Segmentation(
                source_images=images,
                pixel_array=_stack(content, planes, numbers),
                segmentation_type=segmentation_type,
                segment_descriptions=[_describe(content, label, number) for label, number in numbers.items()],
                series_instance_uid=content.uid("series", kind),
                series_number=SERIES_NUMBERS[kind],
                sop_instance_uid=content.uid(kind),
                instance_number=1,
                manufacturer=engine.manufacturer,
                manufacturer_model_name="usassist",
                software_versions=engine.software_version,
                device_serial_number=short_text(engine.engine_id),
                content_label="SEGMENTATION",
                content_description="Outlines by a program; research use",
                **more,
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise DicomError(
                "the images do not say what a segmentation of them needs (study, orientation, positions); "
                "use the .nii.gz, or export the series again"
            ) from error
        made.update(content.base(kind=kind, modality="SEG", description=description))
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = content.uid("dimensions", kind)
    _set_spacing(content, made, planes)
    made.PatientOrientation = None
    return made


def _check_source(content: StudyContent) -> None:
    first = content.source.headers[0]
    if not first.get("FrameOfReferenceUID"):
        raise DicomError(
            "the images have no frame of reference, so a segmentation of them could not be placed; use the .nii.gz"
        )
    answer = content.result.answer
    assert answer is not None  # there are labelled planes
    assert answer.labelmap is not None
    if len(content.source.file_of_plane) != len(answer.labelmap):
        raise DicomError("the labelmap has not one plane for each image; run the study again")
    if content.stored_plane(0).shape != (first.Rows, first.Columns):
        raise DicomError("the labelmap is on another grid than the images; run the study again")


def _stack(content: StudyContent, planes: list[int], numbers: dict[int, int]) -> npt.NDArray[np.uint8]:
    """Segment numbers, uint8 (planes, rows, columns), as the images are stored."""
    table = np.zeros(256, np.uint8)
    for label, number in numbers.items():
        table[label + 1] = number
    rows, columns = content.stored_plane(0).shape
    stack = np.empty((len(planes), rows, columns), np.uint8)
    for index, z in enumerate(planes):
        stack[index] = table[content.stored_plane(z)]
    return stack


def _describe(content: StudyContent, label: int, number: int) -> Any:
    """What a segment is and what made it (DICOM PS3.3 C.8.20.4)."""
    segment, engine = content.segment_of(label), content.engine
    name = engine.engine_id.partition("@")[0] or "not recorded"
    parameters = {
        "engine": engine.engine_id,
        "back end": engine.backend,
        "precision": engine.precision or "not recorded",
        "weights SHA-256": engine.weights_sha256 or "not recorded",
        "intended use": engine.intended_use or "not recorded",
        "program": f"usassist {engine.software_version}. {engine.research_use}",
    }
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.title,
        segmented_property_category=coded(segment.category),
        segmented_property_type=coded(segment.kind),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=name,
            family=codes.DCM.ArtificialIntelligence,
            version=engine.version or "not recorded",
            source=engine.manufacturer,
            # (0066,0031) is free text; highdicom reads it as name=value, with commas in between.
            parameters={key: value.replace(",", ";").replace("=", ":") for key, value in parameters.items()},
        ),
        tracking_uid=content.uid("tracking", label),
        tracking_id=segment.title,
        anatomic_regions=None if segment.site is None else [coded(segment.site)],
        display_color=hd.color.CIELabColor.from_rgb(*segment.rgb),
    )
    if segment.modifiers:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [coded(term) for term in segment.modifiers]
    return description


def _position(content: StudyContent, z: int) -> list[float]:
    """Where the first pixel of a plane's image lies, mm."""
    source = content.source
    header = source.headers[source.file_of_plane[z]]
    if source.is_multi_frame:
        header = header.PerFrameFunctionalGroupsSequence[source.frame_of_plane[z] - 1].PlanePositionSequence[0]
    return [float(value) for value in header.ImagePositionPatient]


def _set_spacing(content: StudyContent, made: Dataset, planes: list[int]) -> None:
    """State the distance of the planes of the *series*, where it is one, and whether the frames are a volume.

    highdicom takes it from the planes that have labels, and 1 mm where that is one.
    """
    shared = made.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    across, down = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    positions = np.array([_position(content, z) for z in range(len(content.source.file_of_plane))])
    steps = np.diff(positions, axis=0)
    step_mm = 0.0
    is_volume = False
    if len(steps):
        mean = steps.mean(axis=0)
        length = float(np.linalg.norm(mean))
        step_mm = abs(float(np.cross(across, down) @ mean))
        regular = bool(np.abs(steps - mean).max() < max(_STRAIGHT * length, 1e-3))
        is_volume = regular and length - step_mm < _STRAIGHT * length
        step_mm = step_mm if regular else 0.0
    if step_mm:
        measures.SpacingBetweenSlices = format_number_as_ds(step_mm)
    elif "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    are_neighbours = len(planes) == planes[-1] - planes[0] + 1
    if "DimensionOrganizationType" in made and not (is_volume and are_neighbours):
        del made.DimensionOrganizationType
