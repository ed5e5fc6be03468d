"""An ultrasound DICOM file as a source: a cine loop at its own pace, or a single frame.

The crop is searched inside the region that the header marks as B-mode tissue, where there is one: the region excludes
the banner, but often includes texts and rulers. No tag that names or describes a patient is read, and the file name,
which is often a patient's, appears only in errors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError, SourceError, SourceFormatError, UsageError
from usassist.frames import find_scan_area
from usassist.records import SourceInfo
from usassist.sources.base import SourceOptions
from usassist.sources.cropping import Roi, choose_roi, cut, is_automatic
from usassist.sources.decoding import check_file
from usassist.sources.dicom.frames import FrameSpans, find_frames, read_span
from usassist.sources.dicom.header import read_header
from usassist.sources.dicom.pixels import FrameError, decode_frame
from usassist.sources.paced import PacedSource, RawFrame
from usassist.sources.pixels import luma
from usassist.sources.scale import Claim, depth_is_plausible
from usassist.sources.watch import ClipWatch

__all__ = ["DicomSource", "open_address"]

UInt8Array = npt.NDArray[np.uint8]

_log = logging.getLogger(__name__)

_HEADER_REL_SD = 0.01  # a header states no uncertainty: taken for its rounding and for the scan conversion
_MAX_SEARCHES = 3  # for the scan area, each on other frames
_FRAMES_PER_SEARCH = 8
_MAX_REGION_SHARE = 0.85  # of the screen; a larger region may hold the banner and is not used as the crop


def open_address(rest: str, options: SourceOptions) -> DicomSource:
    """Open ``dicom:FILE``."""
    if not rest:
        raise UsageError("source dicom needs a file; write dicom:FILE")
    return DicomSource(Path(rest).expanduser(), options)


class DicomSource(PacedSource):
    """An ultrasound DICOM file as a source. Frames are read and decoded one at a time.

    Parameters
    ----------
    path : the file
    options : see :class:`usassist.sources.SourceOptions`

    Attributes
    ----------
    header_spacing_rc_mm : mm per px inside the crop by the header, row step first, or None. Frames carry it where the
        depth of the image is plausible; the header states no uncertainty, and 1 % is taken for it.

    Raises
    ------
    SourceError
        If the file is missing or may not be read.
    SourceFormatError
        If it is not an ultrasound DICOM file, or holds no frame that can be decoded.
    ScanAreaError
        If the scan area has to be found and is not.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        check_file(path)
        self._path = path
        self._header = read_header(path)
        found = self._find_frames()
        self._spans, self._is_cut = found.spans, found.is_cut
        claimed, held = self._header.claimed_frames, len(found.spans)
        count = max(held, claimed or 0) if found.is_cut else held
        self._frame_count = count
        self._timing = self._header.timing.of(count)
        self._check_first()
        for fault in self._faults(found):
            _log.warning("DICOM: %s", fault)
        self._roi = self._choose_roi(options)
        inside = self._header.regions.tissue_xyxy_px
        self.header_spacing_rc_mm = (
            self._header.regions.spacing_rc_mm if inside is not None and _contains(inside, self._roi) else None
        )
        super().__init__(
            SourceInfo(
                description=", ".join(
                    ["DICOM cine" if count > 1 else "DICOM", _frames(count), self._header.syntax.name]
                    + [f"with {other}" for other in self._header.regions.others]
                ),
                image_hw_px=(self._roi[3] - self._roi[1], self._roi[2] - self._roi[0]),
                channels=self._header.channels,
                rate_hz=self._timing.rate_hz if count > 1 else None,
                frame_count=options.frame_count(count),
                roi_xyxy_px=self._roi,
                grab_hw_px=self._header.hw_px,
                kind="clip",
            ),
            options,
        )
        if count > 1 and self._timing.tag is not None:
            _log.info("DICOM: timing by %s", self._timing.tag)
        self._header_scale = self._plausible_scale()

    def _plausible_scale(self) -> Claim | None:
        """The scale of the header; None where it states none, or one by which its region has no plausible depth."""
        spacing, region = self.header_spacing_rc_mm, self._header.regions.tissue_xyxy_px
        if spacing is None or region is None:
            return None
        if not depth_is_plausible(spacing, region[3] - region[1]):
            _log.warning("DICOM: the header states %.5g x %.5g mm per px, which is no plausible scale", *spacing)
            return None
        return Claim(spacing_rc_mm=spacing, spacing_rel_sd=_HEADER_REL_SD, calibration_id="scale_by_dicom")

    def _raw_frames(self) -> Iterator[RawFrame]:
        timing, count = self._timing, len(self._spans)
        t_pass_ns, t_period_ns = 0, round(timing.period_ms * 1_000_000)
        watch = ClipWatch()
        while True:
            errors_before = self.decode_errors
            for index, image in self._images(range(count)):
                if image is None:
                    self.decode_errors += 1
                    continue
                part, t_media_ns = cut(image, self._roi), t_pass_ns + timing.due_ns(index)
                state, reason = watch.judge(part, t_media_ns)
                yield RawFrame(
                    image=part,
                    roi_xyxy_px=self._roi,
                    t_media_ns=t_media_ns,
                    own_scale=self._header_scale if self._options.scale == "auto" else None,
                    screen=partial(luma, image),
                    state=state,
                    state_reason=reason,
                )
            missed = self.decode_errors - errors_before
            if missed:
                _log.warning("DICOM: %d of %d frames could not be decoded", missed, count)
            if self._is_cut:
                whole = f"{count} of {self._frame_count} frames" if self._frame_count > count else _frames(count)
                raise SourceError(f"{self._path.name} broke off after {whole}; copy or export the file again")
            if not self._options.repeat:
                return
            if missed == count:
                raise SourceError(f"{self._path.name} cannot be decoded any more; check that it was not changed")
            t_pass_ns += timing.due_ns(count - 1) + t_period_ns

    def _images(self, indices: Iterator[int] | range) -> Iterator[tuple[int, UInt8Array | None]]:
        """The uncropped images of these frames, with their numbers; None for one that cannot be decoded."""
        try:
            with self._path.open("rb") as file:
                for index in indices:
                    data = read_span(file, self._spans[index])
                    try:
                        image = decode_frame(self._header, data)
                    except FrameError:
                        yield index, None
                    else:
                        yield index, image
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"{self._path.name} cannot be read: {error.strerror}; check the file") from error

    def _faults(self, found: FrameSpans) -> Iterator[str]:
        """Problems of a file that can be played, one clause each."""
        claimed, held = self._header.claimed_frames, len(found.spans)
        yield from self._header.faults
        if claimed is not None and claimed != held and not found.is_cut:
            yield f"the header states {_frames(claimed)}, but the file holds {held}, and these are played"
        elif claimed is None and self._frame_count > 1:
            yield f"the header states no number of frames; the file holds {held}, and these are played"
        if found.left_over_bytes:
            yield f"{found.left_over_bytes} bytes after the last frame are no complete frame and are left out"
        if self._frame_count > 1:
            yield from self._timing.faults

    def _find_frames(self) -> FrameSpans:
        try:
            with self._path.open("rb") as file:
                return find_frames(self._header, file)
        except OSError as error:
            raise SourceError(f"{self._path.name} cannot be read: {error.strerror}; check the file") from error

    def _check_first(self) -> None:
        """Raise unless a frame can be decoded; the message states why the first cannot."""
        if not self._spans:
            raise SourceFormatError(f"{self._path.name} breaks off before its first frame; copy or export it again")
        if any(image is not None for _, image in self._images(range(len(self._spans)))):
            return
        try:
            with self._path.open("rb") as file:
                decode_frame(self._header, read_span(file, self._spans[0]))
        except FrameError as error:
            raise SourceFormatError(
                f"{self._path.name} ({self._header.syntax.name}) holds no frame that can be decoded; of the first: "
                f"{error}; convert it with: gdcmconv --raw FILE OUT.dcm, or export it again"
            ) from None

    def _choose_roi(self, options: SourceOptions) -> Roi:
        """The crop: as requested, else what is found inside the region of the header."""
        limit = self._header.regions.tissue_xyxy_px
        if limit is None or not is_automatic(options):
            return choose_roi(options, self._header.hw_px, self._sample_images)
        choose_roi(
            replace(options, crop=limit), self._header.hw_px, self._sample_images
        )  # checks the calibration's screen
        for images in self._sample_images():
            try:
                x1, y1, x2, y2 = find_scan_area([cut(image, limit) for image in images]).xyxy_px
            except ScanAreaError:
                continue
            return limit[0] + x1, limit[1] + y1, limit[0] + x2, limit[1] + y2
        height_px, width_px = self._header.hw_px
        if (limit[2] - limit[0]) * (limit[3] - limit[1]) > _MAX_REGION_SHARE * height_px * width_px:
            raise ScanAreaError(
                "no ultrasound image was found, and the region in the header is nearly the whole screen; "
                "give the crop with --crop X1,Y1,X2,Y2, or --crop none where the screen shows only the image"
            )
        return limit

    def _sample_images(self) -> Iterator[list[UInt8Array]]:
        """Images spread over the whole cine, other ones for each search."""
        count = len(self._spans)
        for first in range(min(_MAX_SEARCHES, count)):
            spread = np.linspace(first, count - 1, min(_FRAMES_PER_SEARCH, count - first)).astype(int)
            images = [image for _, image in self._images(iter(sorted(set(spread.tolist())))) if image is not None]
            if images:
                yield images


def _contains(outer: Roi, inner: Roi) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
