"""The frames of a DICOM file as they are kept, read one at a time, and as a person would see them.

Grey samples are kept as stored, at their depth; bits above ``BitsStored``, where old files hide overlays, are cleared.
Colour of every coding becomes RGB of 8 bits, and so does a palette.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from usassist.dicom.deidentify.kinds import Kind
from usassist.dicom.deidentify.refused import RefusedError
from usassist.errors import SourceError
from usassist.sources.dicom.encoding import pixel_element, syntax_of
from usassist.sources.dicom.frames import find_frames, read_span
from usassist.sources.dicom.header import DicomHeader, make_header
from usassist.sources.dicom.pixels import FrameError, decode_frame, decode_samples
from usassist.sources.dicom.timing import number_of

__all__ = ["Pictures", "Samples", "open_pictures"]

UInt8Array = npt.NDArray[np.uint8]
Samples = npt.NDArray[Any]

_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEGLSNearLossless})
_PHOTOMETRIC = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_RCT", "YBR_ICT"}
    | {f"YBR_{kind}" for kind in ("FULL", "FULL_422", "PARTIAL", "PARTIAL_422")}
)
_WINDOW = (1.0, 99.7)  # percentiles of a slice that are shown as black and white


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The frames of one file.

    Attributes
    ----------
    path : of the file
    header : of it
    spans : where its frames lie
    kind : of the object
    is_signed : its samples are signed
    """

    path: Path
    header: DicomHeader
    spans: list[Any]
    kind: Kind
    is_signed: bool

    @property
    def is_colour(self) -> bool:
        """True where frames are RGB."""
        return self.header.samples == 3 or self.header.palette is not None

    @property
    def is_lossy(self) -> bool:
        """True where they were compressed with loss in this file."""
        return self.header.syntax in _LOSSY

    @property
    def bytes_of_all(self) -> int:
        """Of all frames, uncompressed, as they are written."""
        height_px, width_px = self.header.hw_px
        each = 3 if self.is_colour else self.header.bits_allocated // 8
        return len(self.spans) * height_px * width_px * each

    def samples(self, indices: Iterable[int] | None = None) -> Iterator[Samples]:
        """Yield frames.

        Parameters
        ----------
        indices : of frames; None = all, in order

        Yields
        ------
        frame : uint8, uint16 or int16 (H, W), or uint8 (H, W, 3) RGB

        Raises
        ------
        RefusedError
            If one cannot be read or decoded.
        """
        try:
            with self.path.open("rb") as file:
                for index in range(len(self.spans)) if indices is None else indices:
                    yield self._decode(file, index)
        except OSError:
            raise RefusedError("it cannot be read to its end") from None

    def views(self, frame: Samples) -> list[UInt8Array]:
        """A frame as a person may see it: uint8 (H, W) or (H, W, 3); of a slice through two windows."""
        if self.is_colour:
            return [np.asarray(frame, np.uint8)]
        values = frame.astype(np.float32)
        if self.header.photometric == "MONOCHROME1":
            values = -values
        if self.kind is Kind.SLICE:
            low, high = (float(part) for part in np.percentile(values, _WINDOW))
            spans = [(low, high), (float(values.min()), float(values.max()))]
        else:
            most = float(2**self.header.bits_stored - 1)
            spans = [(-most, 0.0) if self.header.photometric == "MONOCHROME1" else (0.0, most)]
        return [_shown(values, low, high) for low, high in spans]

    def black(self, frame: Samples) -> int:
        """The sample that is shown as black."""
        inverted = self.header.photometric == "MONOCHROME1" and not self.is_colour
        if self.kind is Kind.SLICE:
            return int(frame.max() if inverted else frame.min())
        return 2**self.header.bits_stored - 1 if inverted else 0

    def _decode(self, file: BinaryIO, index: int) -> Samples:
        data = read_span(file, self.spans[index])
        try:
            if self.is_colour:
                return decode_frame(self.header, data)
            samples, _ = decode_samples(self.header, data, signed=self.is_signed)
        except FrameError as error:
            raise RefusedError(f"frame {index + 1} of {len(self.spans)} cannot be decoded: {error}") from None
        return _within(samples, self.header, self.is_signed)


def open_pictures(path: Path, dataset: Dataset, file: BinaryIO, kind: Kind) -> Pictures:
    """Find the frames of a file.

    Parameters
    ----------
    path : of the file
    dataset : its header
    file : the file, at its pixel data
    kind : of the object

    Raises
    ------
    RefusedError
        If its pixels are not supported, or it breaks off.
    """
    if str(dataset.get("PhotometricInterpretation", "")).strip().upper() not in _PHOTOMETRIC:
        raise RefusedError("its photometric interpretation is not supported")  # it may be anything: not repeated
    try:
        pixels = pixel_element(dataset, file)
        header = make_header(dataset, syntax_of(dataset, pixels, file), pixels, may_be_signed=kind is Kind.SLICE)
        found = find_frames(header, file)
    except SourceError as error:  # its message is a clause
        raise RefusedError(f"it {error}") from None
    if not found.spans or found.is_cut:
        raise RefusedError("it breaks off inside its pixels")
    if found.left_over_bytes:
        raise RefusedError(f"{found.left_over_bytes} bytes after its last frame are no frame, and nobody can see them")
    if header.claimed_frames is not None and header.claimed_frames != len(found.spans):
        raise RefusedError(f"its header states {header.claimed_frames} frames, and it holds {len(found.spans)}")
    high = number_of(dataset, "HighBit")
    if header.samples == 1 and high is not None and high != header.bits_stored - 1:
        raise RefusedError("its samples do not begin at their lowest bit")
    return Pictures(
        path=path,
        header=header,
        spans=list(found.spans),
        kind=kind,
        is_signed=bool(number_of(dataset, "PixelRepresentation")),
    )


def _shown(values: npt.NDArray[np.float32], low: float, high: float) -> UInt8Array:
    """Grey levels of values between black and white."""
    return np.asarray(np.clip((values - low) * (255.0 / max(high - low, 1.0)), 0, 255), np.uint8)


def _within(samples: Samples, header: DicomHeader, is_signed: bool) -> Samples:
    """Samples without what stands in the bits above those that are used."""
    unsigned, signed = ("<u1", "<i1") if header.bits_allocated == 8 else ("<u2", "<i2")
    spare = header.bits_allocated - header.bits_stored
    values = samples.astype(signed if is_signed else unsigned, copy=False)
    return np.asarray((values << spare) >> spare) if spare else values
