"""The frames of a sweep as Ultrasound Multi-frame Images (DICOM PS3.3 A.7): the recorded pixels, bit for bit.

Uncompressed, because every viewer opens that. Frames of one object have one size and one scale, and each stands at its
true time. A frame that is missing is not made up: its time is a longer step in the Frame Time Vector.
"""

from __future__ import annotations

import itertools
import statistics
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from usassist.dicom.common import base_dataset, equipment_items, local_time, new_dicom_file, set_moment
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, CinePart, SweepContent, SweepFrame
from usassist.errors import DicomError

__all__ = ["divide", "frame_steps", "make_cine", "part_path", "set_times", "write_cine"]

MOST_BYTES = 2**30
"""Of pixels in one object: viewers read an object whole, and the length of uncompressed pixels has 32 bits."""
MOST_STEP_CHARACTERS = 65_000
"""Of the Frame Time Vector: the length of a decimal string's element has 16 bits (DICOM PS3.5 section 7.1.2)."""
MOST_PARTS = 200
"""Of one sweep: all of them are open while its frames are read."""

_TWO_D, _TISSUE, _CM = 1, 1, 3
_MOST_GAPS = 20
_PIXEL_DATA = struct.pack("<HH2s2x", 0x7FE0, 0x0010, b"OB")


def divide(frames: Sequence[SweepFrame]) -> tuple[CinePart, ...]:
    """Divide the frames of a sweep into cine objects: one size, kind of pixels and scale each, and not too long.

    Parameters
    ----------
    frames : of the sweep, in order

    Raises
    ------
    DicomError
        If there would be more than :data:`MOST_PARTS`.
    """
    groups: dict[object, list[list[int]]] = {}
    used: dict[object, tuple[int, int]] = {}
    for index, frame in enumerate(frames):
        key = (frame.hw_px, frame.channels, frame.spacing_rc_mm, frame.spacing_rel_sd, frame.calibration_id)
        lists = groups.setdefault(key, [[]])
        size, length = used.get(key, (0, 0))
        step = "0" if not lists[-1] else _step(frames[lists[-1][-1]], frame)
        size, length = size + frame.hw_px[0] * frame.hw_px[1] * frame.channels, length + len(step) + 1
        if lists[-1] and (size > MOST_BYTES or length > MOST_STEP_CHARACTERS):
            lists.append([])
            size, length = frame.hw_px[0] * frame.hw_px[1] * frame.channels, 2
        lists[-1].append(index)
        used[key] = (size, length)
    ordered = sorted(itertools.chain.from_iterable(groups.values()))
    if len(ordered) > MOST_PARTS:
        raise DicomError(
            f"size or scale change so often that there would be {len(ordered)} cine objects, more than {MOST_PARTS}; "
            "export parts of the session, made with usassist session trim"
        )
    return tuple(CinePart(number=number, frame_indices=tuple(items)) for number, items in enumerate(ordered, 1))


def frame_steps(content: SweepContent, part: CinePart) -> list[str]:
    """The Frame Time Vector of a part, ms: 0, then the time since the frame before, to the nanosecond."""
    frames = [content.frames[index] for index in part.frame_indices]
    return ["0", *(_step(before, after) for before, after in itertools.pairwise(frames))]


def part_path(folder: Path, kind: str, part: CinePart) -> Path:
    """File of a part: ``cine.dcm``, ``cine_2.dcm``, …"""
    return folder / (f"{kind}.dcm" if part.number == 1 else f"{kind}_{part.number}.dcm")


def make_cine(content: SweepContent, part: CinePart) -> Dataset:
    """One cine object, without its pixels; :func:`write_cine` writes it with them.

    Parameters
    ----------
    content : of the sweep
    part : one of ``content.parts``
    """
    first = content.frames[part.frame_indices[0]]
    dataset = base_dataset(
        content,
        sop_class_uid=ULTRASOUND_MULTI_FRAME,
        sop_instance_uid=content.cine_uid(part),
        kind="cine",
        modality="US",
        description="Ultrasound cine",
        instance_number=part.number,
    )
    begun = local_time(content, first.t_ms)
    set_moment(dataset, "Acquisition", begun)
    set_moment(dataset, "Content", begun)
    dataset.AcquisitionDateTime = begun.strftime("%Y%m%d%H%M%S.%f%z")
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.DerivationDescription = _derivation(content)
    dataset.ContributingEquipmentSequence = equipment_items(content, dataset.DerivationDescription, engine=False)
    dataset.BurnedInAnnotation = "NO" if content.text_free else "YES"
    if content.source_lossy is not None:
        dataset.LossyImageCompression = "01" if content.source_lossy else "00"
    dataset.Laterality, dataset.PatientOrientation = None, None  # not known
    dataset.ImageComments = "\n".join(_comments(content, part))
    _set_pixels(dataset, first, len(part.frame_indices))
    set_times(dataset, frame_steps(content, part))
    _set_region(dataset, first)
    return dataset


def write_cine(content: SweepContent, folder: Path, on_frame: Callable[[], None] = lambda: None) -> list[Path]:
    """Write all cine objects of a sweep into a folder; one frame is in memory at a time.

    Parameters
    ----------
    content : of the sweep
    folder : that has none of them yet
    on_frame : called after each frame

    Returns
    -------
    paths : ``cine.dcm``, ``cine_2.dcm``, … in order of ``content.parts``

    Raises
    ------
    DicomError
        If frames have gone meanwhile.
    OSError
        If one cannot be written.
    """
    paths = [part_path(folder, "cine", part) for part in content.parts]
    with ExitStack() as stack:
        files: dict[int, BinaryIO] = {}
        for part, path in zip(content.parts, paths, strict=True):
            head = make_cine(content, part)
            file = stack.enter_context(new_dicom_file(path, head, ExplicitVRLittleEndian))
            length = head.Rows * head.Columns * head.SamplesPerPixel * int(head.NumberOfFrames)
            file.write(_PIXEL_DATA + struct.pack("<I", length + length % 2))
            if length % 2:
                stack.callback(file.write, b"\0")  # before the file is closed: the length of an element is even
            files |= dict.fromkeys(part.frame_indices, file)
        written = 0
        for index, image in content.images():
            files[index].write(np.ascontiguousarray(image).data)
            written += 1
            on_frame()
        if written < len(content.frames):
            raise DicomError(f"{len(content.frames) - written} frames have gone while they were read; try again")
    return paths


def _step(before: SweepFrame, after: SweepFrame) -> str:
    """The time between two frames, ms; times are whole nanoseconds, so nothing is rounded."""
    whole_ms, rest_ns = divmod(round(after.t_ms * 1e6) - round(before.t_ms * 1e6), 1_000_000)
    return f"{whole_ms}.{rest_ns:06d}".rstrip("0") if rest_ns else str(whole_ms)


def _set_pixels(dataset: Dataset, frame: SweepFrame, count: int) -> None:
    dataset.SamplesPerPixel = frame.channels
    dataset.PhotometricInterpretation = "MONOCHROME2" if frame.channels == 1 else "RGB"
    if frame.channels > 1:
        dataset.PlanarConfiguration = 0
    else:
        dataset.WindowCenter, dataset.WindowWidth = 128, 256  # the identity: no viewer stretches the grey values
    dataset.NumberOfFrames = count
    dataset.Rows, dataset.Columns = frame.hw_px
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0


def set_times(dataset: Dataset, steps: list[str]) -> None:
    """Set the modules Cine and Multi-frame (DICOM PS3.3 C.7.6.5, C.7.6.6) from steps in ms."""
    times_ms = [float(step) for step in steps]
    dataset.FrameIncrementPointer = 0x00181065
    dataset.FrameTimeVector = steps
    dataset.PreferredPlaybackSequencing = 0
    dataset.EffectiveDuration = f"{sum(times_ms) / 1e3:.3f}"
    period_ms = statistics.median(times_ms[1:]) if len(times_ms) > 1 else 0.0
    if period_ms > 0:
        dataset.CineRate = dataset.RecommendedDisplayFrameRate = max(1, round(1e3 / period_ms))


def _set_region(dataset: Dataset, frame: SweepFrame) -> None:
    """US Region Calibration (DICOM PS3.3 C.8.5.5), only where the frame has a scale: no millimetres are made up."""
    if frame.spacing_rc_mm is None:
        return
    height_px, width_px = frame.hw_px
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = _TWO_D, _TISSUE, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = width_px - 1, height_px - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = _CM
    region.PhysicalDeltaX, region.PhysicalDeltaY = frame.spacing_rc_mm[1] / 10.0, frame.spacing_rc_mm[0] / 10.0
    dataset.SequenceOfUltrasoundRegions = [region]


def _derivation(content: SweepContent) -> str:
    covered = content.covered_frames
    text = f"; burnt-in text covered in {covered} of {len(content.frames)} frames" if covered else ""
    lossy = "" if content.source_lossy is not None else "; not known whether the source was compressed with loss"
    return f"Screen of the scanner, cropped to the scan area{text}; else as received, without further loss{lossy}"


def _comments(content: SweepContent, part: CinePart) -> list[str]:
    frames = [content.frames[index] for index in part.frame_indices]
    first = frames[0]
    lines = [
        content.engine.research_use,
        f"Session {content.session_id}, part {part.number} of {len(content.parts)}: {len(frames)} of "
        f"{len(content.frames)} frames; the first is frame {first.frame_id} of the source, {first.t_ms / 1e3:.3f} s "
        "after the first of the session.",
    ]
    if first.spacing_rc_mm is None or first.spacing_rel_sd is None:
        lines.append("No scale: lengths in mm cannot be measured on these frames.")
    else:
        row_mm, column_mm = first.spacing_rc_mm
        lines.append(
            f"Scale {row_mm:.5g} mm a row, {column_mm:.5g} mm a column, from {first.calibration_id or 'the source'}; "
            f"standard uncertainty {100 * first.spacing_rel_sd:.3g} %."
        )
    lines += _gap_lines(content, part)
    stale = sum(frame.picture != "live" for frame in frames)
    if stale:
        lines.append(f"{stale} of the frames came while the signal was not live (frozen, lost, changed or damaged).")
    if not content.text_free:
        lines.append("Text may be burnt into these frames: look at them before you pass them on.")
    return lines


def _gap_lines(content: SweepContent, part: CinePart) -> list[str]:
    """Which frames are missing between which, and which are in another part."""
    lines: list[str] = []
    pairs = list(enumerate(itertools.pairwise(part.frame_indices), 1))
    for number, (before, after) in pairs:
        elsewhere = after - before - 1
        lost = content.frames[after].frame_id - content.frames[before].frame_id - 1 - elsewhere
        if lost or elsewhere:
            what = [f"{lost} lost"] * bool(lost) + [f"{elsewhere} in another part"] * bool(elsewhere)
            lines.append(f"Between frames {number} and {number + 1} of this object: {' and '.join(what)}.")
    if len(lines) > _MOST_GAPS:
        lines[_MOST_GAPS:] = [f"And {len(lines) - _MOST_GAPS} more such gaps; the Frame Time Vector has their time."]
    return lines
