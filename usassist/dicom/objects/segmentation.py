"""The best frame of each nodule as an image of its own, and its outline as segmentations of that image (PS3.3 A.51).

Segmentations cannot refer to one frame of an ultrasound cine: without a frame of reference highdicom takes single-frame
images only, and viewers show such a segmentation on every frame. So the key frame is written as an Ultrasound Image
(PS3.3 A.6) that is derived from the cine, with the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UltrasoundImageStorage

from usassist.dicom.common import SERIES_NUMBERS, base_dataset, code_item, equipment_items, local_time, set_moment
from usassist.dicom.objects import terms
from usassist.dicom.objects.cine import make_cine
from usassist.dicom.objects.content import CinePart, SweepContent
from usassist.dicom.objects.report_items import coded, nameless
from usassist.dicom.objects.shown import Shown, describe_algorithm, describe_scale, list_shown
from usassist.errors import DicomError
from usassist.frames import fill_labelmap
from usassist.records import Segmentation

__all__ = ["make_key_image", "make_segmentation", "make_segmentations", "mask_of"]

UInt8Array = npt.NDArray[np.uint8]

_KINDS = {"seg": ("BINARY", "Segmentation"), "labelmap": ("LABELMAP", "Label map")}

_OF_MULTI_FRAME = (
    "NumberOfFrames",
    "FrameIncrementPointer",
    "FrameTimeVector",
    "PreferredPlaybackSequencing",
    "EffectiveDuration",
    "CineRate",
    "RecommendedDisplayFrameRate",
)
_LATERALITIES = {"right": "R", "left": "L"}


def make_segmentations(content: SweepContent) -> Iterator[tuple[str, Dataset]]:
    """Key image, binary segmentation and label map of each nodule and run, as name of a file and object.

    A frame that is the best of two nodules is one key image. The images are read in one pass.

    Parameters
    ----------
    content : of the sweep

    Raises
    ------
    DicomError
        If the pixels of a best frame cannot be read, or an outline leaves no pixel.
    """
    best = [shown for shown in list_shown(content) if shown.is_best]
    images = wanted_images(content, {shown.section.frame_index for shown in best})
    keys: dict[int, Dataset] = {}
    for number, shown in enumerate(best, 1):
        index = shown.section.frame_index
        if index not in keys:
            keys[index] = make_key_image(content, shown, images[index], len(keys) + 1)
            yield f"key_{shown.slug}.dcm", keys[index]
        yield f"seg_{shown.slug}.dcm", make_segmentation(content, shown, keys[index], "seg", number)
        yield f"seg_{shown.slug}_labelmap.dcm", make_segmentation(content, shown, keys[index], "labelmap", number)


def wanted_images(content: SweepContent, indices: set[int]) -> dict[int, UInt8Array]:
    """The images of some frames, from one pass over the sweep that ends with the last of them.

    Raises
    ------
    DicomError
        If one did not come.
    """
    found: dict[int, UInt8Array] = {}
    if indices:
        for index, image in content.images():
            if index in indices:
                found[index] = image.copy()
            if len(found) == len(indices):
                break
    if len(found) < len(indices):
        raise DicomError(f"pixels of session {content.session_id} cannot be read; run usassist session verify")
    return found


def make_key_image(content: SweepContent, shown: Shown, image: UInt8Array, number: int) -> Dataset:
    """The frame of a nodule as an Ultrasound Image, its pixels those of the cine.

    Parameters
    ----------
    content : of the sweep
    shown : on that frame
    image : uint8 (H, W) or (H, W, 3) RGB
    number : in the series
    """
    frame, reference = shown.frame, shown.reference
    dataset = make_cine(content, CinePart(number=1, frame_indices=(shown.section.frame_index,)))
    for keyword in _OF_MULTI_FRAME:
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.update(
        base_dataset(
            content,
            sop_class_uid=UltrasoundImageStorage,
            sop_instance_uid=content.uid("key", frame.frame_id),
            kind="key",
            modality="US",
            description="Key frames",
            instance_number=number,
        )
    )
    dataset.DerivationDescription = f"Frame {reference.frame_number} of the cine, its pixels unchanged"
    source = Dataset()
    source.ReferencedSOPClassUID = reference.sop_class_uid
    source.ReferencedSOPInstanceUID = reference.sop_instance_uid
    source.ReferencedFrameNumber = reference.frame_number
    source.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    dataset.SourceImageSequence = [source]
    dataset.ContributingEquipmentSequence = equipment_items(content, dataset.DerivationDescription, engine=False)
    if shown.section.side in _LATERALITIES:
        dataset.ImageLaterality = _LATERALITIES[shown.section.side]
        del dataset.Laterality
    dataset.ImageComments = (
        f"{content.engine.research_use} Frame {frame.frame_id} of the source, {frame.t_ms / 1e3:.3f} s after the first "
        f"of the session. Scale: {describe_scale(frame)}."
    )
    data = image.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB"
    return dataset


def make_segmentation(content: SweepContent, shown: Shown, key_image: Dataset, kind: str, number: int) -> Dataset:
    """The outline of a nodule as a segmentation of its key image.

    Parameters
    ----------
    content : of the sweep
    shown : on the frame of the key image
    key_image : from :func:`make_key_image`
    kind : ``seg`` (binary) or ``labelmap``
    number : in the series

    Raises
    ------
    DicomError
        If the outline leaves no pixel.
    """
    mask = mask_of(shown)
    if not mask.any():
        raise DicomError(
            f"the outline of {shown.name} of session {content.session_id} has no area; run usassist session verify"
        )
    segmentation_type, description = _KINDS[kind]
    made = hd.seg.Segmentation(
        source_images=[nameless(key_image)],
        pixel_array=mask,
        segmentation_type=segmentation_type,
        segment_descriptions=[_describe(content, shown)],
        series_instance_uid=content.series_uid(kind),
        series_number=SERIES_NUMBERS[kind],
        sop_instance_uid=content.uid(kind, shown.name, shown.frame.frame_id),
        instance_number=number,
        manufacturer=content.engine.manufacturer,
        manufacturer_model_name="usassist",
        software_versions=content.engine.software_version,
        device_serial_number=(content.engine.engine_id or "no engine")[:64],
        content_label="NODULE",
        content_description=f"{shown.name} on its best frame, by a program; research use"[:64],
    )
    base = base_dataset(
        content,
        sop_class_uid=made.SOPClassUID,
        sop_instance_uid=made.SOPInstanceUID,
        kind=kind,
        modality="SEG",
        description=description,
        instance_number=number,
    )
    base.ContributingEquipmentSequence = equipment_items(content, "wrote the segmentation", engine=True)
    made.update(base)
    _set_dimension_uid(made, content.uid("dimensions", kind, shown.name, shown.frame.frame_id))
    set_moment(made, "Content", local_time(content, shown.frame.t_ms))
    del made.InstanceCreationDate, made.InstanceCreationTime  # of the export, not of the content
    made.PatientOrientation = None
    return made


def _set_dimension_uid(made: Dataset, uid: str) -> None:
    """Replace the UID that highdicom has drawn, so that the same sweep gives the same object."""
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def mask_of(shown: Shown) -> UInt8Array:
    """The pixels inside and on the outline: uint8 (H, W), 0 and 1; as everywhere in usassist."""
    return fill_labelmap(Segmentation.of([shown.found.contour_xy_px]), shown.frame.hw_px)


def _describe(content: SweepContent, shown: Shown) -> Any:
    used = describe_algorithm(content, shown)
    side = terms.SIDES.get(shown.section.side or "")
    site = terms.ISTHMUS if shown.section.side == "isthmus" else terms.THYROID
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=shown.name,
        segmented_property_category=coded(terms.ABNORMAL_STRUCTURE),
        segmented_property_type=coded(terms.NODULE),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=used.name,
            family=codes.DCM.ArtificialIntelligence,
            version=used.version,
            source=content.engine.manufacturer,
            # (0066,0031) is free text; highdicom reads it as name=value, with commas in between.
            parameters={name: value.replace(",", ";").replace("=", ":") for name, value in used.parameters.items()},
        ),
        tracking_uid=shown.tracking_uid,
        tracking_id=shown.tracking_id,
        anatomic_regions=[coded(site)],
    )
    if side is not None:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [coded(side)]
    return description
