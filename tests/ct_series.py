"""Small DICOM series and NIfTI files of known content, for tests. The patient is made up."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

CT, MR = UID("1.2.840.10008.5.1.4.1.1.2"), UID("1.2.840.10008.5.1.4.1.1.4")
ENHANCED = {"CT": UID("1.2.840.10008.5.1.4.1.1.2.1"), "MR": UID("1.2.840.10008.5.1.4.1.1.4.1")}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
NAME = "Doe^Jane"
"""Of the patient; must appear in nothing that is printed or written."""


def make_series(
    folder: Path,
    hu: Any,
    *,
    spacing_zyx_mm: tuple[float, float, float] = (2.0, 1.0, 1.0),
    origin_mm: tuple[float, float, float] = (-20.0, -30.0, 40.0),
    orientation: tuple[float, ...] = AXIAL,
    tilt_deg: float = 0.0,
    modality: str = "CT",
    slope: float | None = 1.0,
    intercept: float | None = -1024.0,
    signed: bool = False,
    bits_stored: int = 16,
    padding: int | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    without: Iterable[int] = (),
    twice: Iterable[int] = (),
    seed: int = 1,
    first_name: int = 0,
    series_uid: str | None = None,
    tags: dict[str, Any] | None = None,
) -> list[Path]:
    """Write a series, one file a plane, under names whose order is not that of the planes.

    Parameters
    ----------
    hu : (Z, Y, X), values after rescaling; plane k lies k steps along the normal from `origin_mm`
    tilt_deg : of the gantry: planes are stacked along the patient's z, their normal is tilted towards y
    without, twice : numbers of planes that are left out, or written twice with UIDs of their own
    seed, first_name : the numbers in the names are a shuffle of those from `first_name` on
    tags : keywords that are set on every file; None removes one

    Returns
    -------
    paths : by plane
    """
    folder.mkdir(parents=True, exist_ok=True)
    hu = np.asarray(hu)
    series_uid = series_uid or generate_uid(entropy_srcs=["series", str(folder)])
    names = np.random.default_rng(seed).permutation(4 * len(hu))
    cosines, step = _grid(orientation, tilt_deg, spacing_zyx_mm[0])
    left_out, paths = set(without), []
    for k, plane in enumerate(hu):
        for copy in range(2 if k in set(twice) else 1):
            if k in left_out:
                continue
            position = np.array(origin_mm) + k * step
            dataset = _base(modality, series_uid, syntax, str(folder), f"{seed}.{k}.{copy}.{origin_mm}")
            dataset.InstanceNumber = k + 1
            dataset.ImagePositionPatient = [_ds(value) for value in position]
            dataset.ImageOrientationPatient = [_ds(value) for value in cosines]
            dataset.PixelSpacing = [_ds(spacing_zyx_mm[1]), _ds(spacing_zyx_mm[2])]
            dataset.SliceThickness = _ds(spacing_zyx_mm[0])
            if tilt_deg:
                dataset.GantryDetectorTilt = _ds(tilt_deg)
            if slope is not None:
                dataset.RescaleSlope, dataset.RescaleIntercept = _ds(slope), _ds(intercept or 0.0)
                dataset.RescaleType = "HU" if modality == "CT" else "US"
            stored = to_stored(plane, slope, intercept, signed, bits_stored)
            _set_pixels(dataset, stored[None], signed, bits_stored, padding, syntax)
            _set_tags(dataset, tags)
            paths.append(_write(dataset, folder / f"IM{first_name + names[k * 2 + copy]:05d}"))
    return paths


def make_enhanced(
    path: Path,
    hu: Any,
    *,
    spacing_zyx_mm: tuple[float, float, float] = (2.0, 1.0, 1.0),
    origin_mm: tuple[float, float, float] = (-20.0, -30.0, 40.0),
    tilt_deg: float = 0.0,
    modality: str = "CT",
    syntax: UID = ExplicitVRLittleEndian,
    order: Iterable[int] | None = None,
    tags: dict[str, Any] | None = None,
) -> Path:
    """Write one file of several frames, with functional groups; `order` says which plane each frame shows."""
    hu = np.asarray(hu)
    order = list(range(len(hu)) if order is None else order)
    cosines, step = _grid(AXIAL, tilt_deg, spacing_zyx_mm[0])
    dataset = _base(modality, generate_uid(entropy_srcs=["series", str(path)]), syntax, str(path), "0")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED[modality]
    shared, measures, orientation, values = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [_ds(spacing_zyx_mm[1]), _ds(spacing_zyx_mm[2])]
    measures.SliceThickness = _ds(spacing_zyx_mm[0])
    orientation.ImageOrientationPatient = [_ds(value) for value in cosines]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "1", "-1024", "HU"
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([values])
    frames = []
    for k in order:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [_ds(value) for value in np.array(origin_mm) + k * step]
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(frames)
    stored = to_stored(hu[order], 1.0, -1024.0, False, 16)
    _set_pixels(dataset, stored, False, 16, None, syntax)
    _set_tags(dataset, tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    return _write(dataset, path)


def ellipsoid(
    shape_zyx: tuple[int, int, int],
    affine: Any,
    centre_mm: Any,
    radii_mm: Any,
    *,
    inside: int = 60,
    outside: int = -1000,
) -> np.ndarray:
    """int16 (Z, Y, X): `inside` where the voxel's centre lies in an ellipsoid of these LPS coordinates."""
    k, j, i = np.indices(shape_zyx, np.float64)
    places = np.einsum("ab,bzyx->azyx", np.asarray(affine)[:3, :3], np.stack([i, j, k]))
    places += np.asarray(affine)[:3, 3][:, None, None, None]
    away = ((places - np.asarray(centre_mm)[:, None, None, None]) / np.asarray(radii_mm)[:, None, None, None]) ** 2
    return np.where(away.sum(axis=0) <= 1.0, inside, outside).astype(np.int16)


def to_stored(plane: Any, slope: float | None, intercept: float | None, signed: bool, bits_stored: int) -> np.ndarray:
    """Stored values whose rescaled values are these."""
    stored = np.rint((np.asarray(plane, np.float64) - (intercept or 0.0)) / (slope or 1.0)).astype(np.int64)
    low, high = (-(1 << bits_stored - 1), (1 << bits_stored - 1) - 1) if signed else (0, (1 << bits_stored) - 1)
    assert low <= stored.min() <= stored.max() <= high, "these values do not fit; choose another intercept"
    return stored.astype(np.int16 if signed else np.uint16)


def jpeg_lossless(stored: np.ndarray, bits: int, *, predictor: int = 1) -> bytes:
    """Encode (rows, columns) as JPEG lossless (ITU-T T.81, process 14), with one table of 17 codes of 5 and 6 bits."""
    rows, columns = stored.shape
    values = stored.astype(np.int64) & 0xFFFF
    left, up = np.roll(values, 1, axis=1), np.roll(values, 1, axis=0)
    corner = np.roll(up, 1, axis=1)
    guess = {
        1: left,
        2: up,
        3: corner,
        4: left + up - corner,
        5: left + ((up - corner) >> 1),
        6: up + ((left - corner) >> 1),
        7: (left + up) >> 1,
    }[predictor]
    guess[0], guess[:, 0] = left[0], up[:, 0]
    guess[0, 0] = 1 << bits - 1
    codes = [(code, 5) for code in range(30)][:15] + [(30 + code, 6) for code in range(2)]
    counts = [0] * 16
    counts[4], counts[5] = 15, 2
    text = []
    for difference in ((values - guess).reshape(-1) & 0xFFFF).tolist():
        signed = difference - 65536 if difference > 32768 else difference
        size = abs(signed).bit_length()
        code, length = codes[size]
        text.append(f"{code:0{length}b}")
        if 0 < size < 16:
            text.append(f"{signed if signed > 0 else signed + (1 << size) - 1:0{size}b}")
    bitstream = "".join(text)
    bitstream += "1" * (-len(bitstream) % 8)
    data = int(bitstream, 2).to_bytes(len(bitstream) // 8, "big").replace(b"\xff", b"\xff\x00")
    sof = struct.pack(">BHHBBBB", bits, rows, columns, 1, 1, 0x11, 0)
    dht = bytes([0, *counts, *range(17)])
    sos = bytes([1, 1, 0, predictor, 0, 0])
    parts = [(0xC3, sof), (0xC4, dht), (0xDA, sos)]
    head = b"".join(bytes([0xFF, mark]) + struct.pack(">H", len(body) + 2) + body for mark, body in parts)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


def _grid(orientation: tuple[float, ...], tilt_deg: float, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Six cosines, and the step from plane to plane."""
    cosines = np.array(orientation, np.float64)
    step = np.cross(cosines[:3], cosines[3:]) * spacing_mm
    if tilt_deg:
        angle = math.radians(tilt_deg)
        cosines[3:] = (0.0, math.cos(angle), math.sin(angle))
    return cosines, step


def _base(modality: str, series_uid: str, syntax: UID, *entropy: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = {"CT": CT, "MR": MR}.get(modality, CT)
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=list(entropy))
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", entropy[0]])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["place", entropy[0]])
    dataset.SeriesInstanceUID, dataset.Modality = series_uid, modality
    dataset.PatientName, dataset.PatientID = NAME, "4711-SECRET"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19500101", "F", "071Y"
    dataset.StudyDate = dataset.SeriesDate = "20260101"
    dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "120000", "1", ""
    dataset.SeriesNumber, dataset.ReferringPhysicianName = 1, ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP, dataset.AcquisitionNumber = "120", 1
    return dataset


def _set_pixels(
    dataset: Dataset, stored: np.ndarray, signed: bool, bits_stored: int, padding: int | None, syntax: UID
) -> None:
    dataset.Rows, dataset.Columns = stored.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    if padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    if not syntax.is_encapsulated:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = stored.astype(f"{order}i2" if signed else f"{order}u2").tobytes()
        dataset["PixelData"].VR = "OW"
        return
    dataset.PixelData = encapsulate([_encode(frame, dataset, syntax) for frame in stored])
    dataset["PixelData"].VR = "OB"


def _encode(stored: np.ndarray, dataset: Dataset, syntax: UID) -> bytes:
    if syntax == JPEG2000Lossless:
        target = io.BytesIO()
        Image.fromarray(stored.astype(np.uint16)).save(target, "JPEG2000", irreversible=False, no_jp2=True)
        return target.getvalue()
    if syntax == JPEGLosslessSV1:
        return jpeg_lossless(stored, dataset.BitsStored)
    assert syntax in (RLELossless, JPEGLSLossless)
    encoder = get_encoder(syntax)
    return encoder.encode(
        stored,
        rows=stored.shape[0],
        columns=stored.shape[1],
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=dataset.BitsStored,
        pixel_representation=dataset.PixelRepresentation,
        photometric_interpretation="MONOCHROME2",
        transfer_syntax_uid=syntax,
        encoding_plugin="pydicom" if syntax == RLELossless else "pyjpegls",
    )


def _set_tags(dataset: Dataset, tags: dict[str, Any] | None) -> None:
    for keyword, value in (tags or {}).items():
        if value is None:
            if keyword in dataset:
                del dataset[keyword]
        else:
            setattr(dataset, keyword, value)


def _write(dataset: FileDataset, path: Path) -> Path:
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters."""
    return f"{value:.10g}"[:16]
