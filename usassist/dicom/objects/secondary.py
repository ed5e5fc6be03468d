"""The sweep with its results drawn into the pixels: Multi-frame True Color Secondary Capture (DICOM PS3.3 A.8.5).

For viewers that show no structured report and no segmentation. JPEG baseline, because every viewer opens that and
the pixels for measuring are in the cine; 4:2:2 as its photometric interpretation says.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from usassist.dicom.common import base_dataset, code_item, equipment_items, local_time, new_dicom_file, set_moment
from usassist.dicom.objects.cine import frame_steps, part_path, set_times
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, CinePart, Image, SweepContent
from usassist.errors import DicomError

__all__ = ["MULTI_FRAME_TRUE_COLOR", "make_secondary", "write_secondary"]

MULTI_FRAME_TRUE_COLOR = "1.2.840.10008.5.1.4.1.1.7.4"

_QUALITY = 90
_CODING = (
    cv2.IMWRITE_JPEG_QUALITY,
    _QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
)
_ITEM, _END = 0xE000, 0xE0DD
_MOST_OFFSET = 2**32 - 1


@dataclass(slots=True, eq=False)
class _Coded:
    """The coded frames of a part, in a file that has no name."""

    file: BinaryIO
    hw_px: tuple[int, int] = (0, 0)
    lengths: list[int] = field(default_factory=list)


def make_secondary(content: SweepContent, part: CinePart, hw_px: tuple[int, int], coded_bytes: int) -> Dataset:
    """One secondary capture, without its pixels; :func:`write_secondary` writes it with them.

    Parameters
    ----------
    content : of the sweep
    part : that it shows, one of ``content.parts``: frame n of it is frame n of that cine object
    hw_px : of the drawn frames, with the bars above and below the image
    coded_bytes : of all its frames, for the ratio of the compression
    """
    first = content.frames[part.frame_indices[0]]
    count = len(part.frame_indices)
    dataset = base_dataset(
        content,
        sop_class_uid=MULTI_FRAME_TRUE_COLOR,
        sop_instance_uid=content.uid("secondary", part.number),
        kind="secondary",
        modality="US",
        description="Results drawn in",
        instance_number=part.number,
    )
    begun = local_time(content, first.t_ms)
    set_moment(dataset, "Acquisition", begun)
    set_moment(dataset, "Content", begun)
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = (
        "Frames of the cine, with outlines, sizes and states drawn in; frame n of this object is frame n of its "
        "source. A frame without an answer is hatched along its border and says why."
    )
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = ULTRASOUND_MULTI_FRAME, content.cine_uid(part)
    source.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    dataset.SourceImageSequence = [source]
    dataset.ContributingEquipmentSequence = equipment_items(content, "drew the results", engine=True)
    dataset.Laterality, dataset.PatientOrientation = None, None  # not known
    dataset.BurnedInAnnotation = "YES"
    dataset.ImageComments = (
        f"{content.engine.research_use}\nSession {content.session_id}. Not for measuring: see the cine."
    )
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "YBR_FULL_422", 0
    dataset.NumberOfFrames = count
    dataset.Rows, dataset.Columns = hw_px
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.LossyImageCompressionRatio = f"{3 * hw_px[0] * hw_px[1] * count / coded_bytes:.2f}"
    if count > 1:  # an increment of a single frame may not be stated in this class; in the cine's it must
        set_times(dataset, frame_steps(content, part))
    return dataset


def write_secondary(content: SweepContent, folder: Path, on_frame: Callable[[], None] = lambda: None) -> list[Path]:
    """Write the secondary captures of a sweep, one for each cine object; one frame is in memory at a time.

    Parameters
    ----------
    content : of the sweep, with ``drawings``
    folder : that has none of them yet
    on_frame : called after each frame

    Returns
    -------
    paths : ``secondary.dcm``, ``secondary_2.dcm``, … in order of ``content.parts``

    Raises
    ------
    DicomError
        If frames have gone meanwhile, or one part is too long.
    OSError
        If one cannot be written.
    """
    if content.drawings is None:
        raise DicomError("the results of this sweep cannot be drawn: it has no drawings; export its session")
    coded: dict[int, _Coded] = {}
    of_frame: dict[int, _Coded] = {}
    try:
        for part in content.parts:
            coded[part.number] = _Coded(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115
            of_frame |= dict.fromkeys(part.frame_indices, coded[part.number])
        for index, image in content.drawings():
            _add(of_frame.pop(index), image)
            on_frame()
        if of_frame:
            raise DicomError(
                f"{len(of_frame)} frames cannot be drawn: their messages are lost; run usassist session repair"
            )
        return [_write(content, part, coded[part.number], folder) for part in content.parts]
    finally:
        for item in coded.values():
            item.file.close()


def _add(coded: _Coded, image: Image) -> None:
    if coded.lengths and coded.hw_px != image.shape[:2]:
        raise DicomError("drawn frames of one part differ in size; please report this")
    coded.hw_px = (image.shape[0], image.shape[1])
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _CODING)
    if not done:
        raise DicomError("a drawn frame cannot be coded as JPEG; it may be larger than 65535 px")
    content = data.tobytes() + b"\0" * (data.size % 2)  # the length of an item is even
    coded.file.write(content)
    coded.lengths.append(len(content))


def _write(content: SweepContent, part: CinePart, coded: _Coded, folder: Path) -> Path:
    """Encapsulated pixel data (DICOM PS3.5 A.4): the Basic Offset Table, and an item for each frame."""
    offsets = np.cumsum([0, *(length + 8 for length in coded.lengths)])
    if offsets[-1] > _MOST_OFFSET:
        raise DicomError("the drawn frames of one part exceed 4 GiB; cut the session with usassist session trim")
    path = part_path(folder, "secondary", part)
    head = make_secondary(content, part, coded.hw_px, sum(coded.lengths))
    coded.file.seek(0)
    with new_dicom_file(path, head, JPEGBaseline8Bit) as file:
        file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF))
        file.write(_item(_ITEM, 4 * (len(offsets) - 1)) + offsets[:-1].astype("<u4").tobytes())
        for length in coded.lengths:
            file.write(_item(_ITEM, length) + coded.file.read(length))
        file.write(_item(_END, 0))
    return path


def _item(element: int, length: int) -> bytes:
    return struct.pack("<HHI", 0xFFFE, element, length)
