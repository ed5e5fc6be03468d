"""An engine that answers images and streams from Python, as the live path answers them."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.api.result import FrameResult
from usassist.api.stream import MediaClock, ResultStream
from usassist.bus import EngineBody
from usassist.calibrate import DEFAULT_POINT, Geometry, ScoreCalibration, load_geometry, load_score_calibration
from usassist.common.closeable import Closeable
from usassist.engine import find_engine, open_engine
from usassist.errors import UsageError, UsAssistError
from usassist.modalities import Task
from usassist.modalities.ultrasound import DescriptorModel
from usassist.pipeline.association import StreamAssociation
from usassist.pipeline.task import describe_engine, make_association, make_task
from usassist.records import Answer, Cause, Frame, Result, ResultState, SignalState
from usassist.sources import Crop, SourceOptions, open_source
from usassist.sources.address import DEMO_CALIBRATION, IMAGE_SUFFIXES, demo_address
from usassist.sources.cropping import choose_roi, cut
from usassist.sources.images import read_image
from usassist.sources.inputs.address import is_live
from usassist.sources.scale import ScaleMode

__all__ = ["Engine"]

logger = logging.getLogger(__name__)

UInt8Array = npt.NDArray[np.uint8]
Image = UInt8Array | str | os.PathLike[str]
_Item = TypeVar("_Item", bound=Image)

_SESSION_ID = "python"
_SOURCE_ID = "python"
_AS_GIVEN = "spacing_as_given"  # instead of a calibration's name, where the caller gives the spacing


class Engine(Closeable):
    """An engine with its score calibration, opened and checked. Use it as a context manager, or call :meth:`close`.

    ::

        with Engine("thyroid_nodule") as engine:
            result = engine(image)
            for result in engine.stream("clip.mp4"):
                ...

    Frames go through the code of the live path: results are those of ``usassist replay`` on the same frames, to the
    last bit. Any number of threads may share one Engine; their frames are answered one after the other. For work side
    by side open one Engine per thread, or per process after the fork.

    Parameters
    ----------
    name : ``NAME`` or ``NAME@VERSION``, see ``usassist engine list``
    backend : ``auto`` for the fastest that answers right here, or a name of ``usassist engine list``
    precision : ``auto``, ``fp32``, ``fp16`` or ``int8``
    point : operating point at which scores are cut, for example ``sensitive``, ``balanced`` or ``quiet``; ``auto`` =
        ``balanced``, or the engine's own thresholds where its scores are not calibrated
    each_frame_alone : in a stream, leave out the association over frames that the operating point may have; a call with
        images always answers each alone
    threads : CPU threads; 0 = as many as the process may use
    calibration : name or path of a geometry calibration, for sizes in mm
    spacing_mm, spacing_rel_sd : instead of a calibration, mm per px (row step, column step) and its relative standard
        uncertainty; both or neither
    engines : folder of engines; None = those that ship

    Raises
    ------
    UsageError
        If arguments do not fit together, or there is no such operating point.
    EngineError
        If the engine cannot be found or opened; the message says why each back end cannot run.
    CalibrationError
        If a calibration is missing or does not fit.
    """

    def __init__(
        self,
        name: str = "thyroid_nodule",
        *,
        backend: str = "auto",
        precision: str = "auto",
        point: str = "auto",
        each_frame_alone: bool = False,
        threads: int = 0,
        calibration: str | os.PathLike[str] | None = None,
        spacing_mm: tuple[float, float] | None = None,
        spacing_rel_sd: float | None = None,
        engines: str | os.PathLike[str] | None = None,
    ) -> None:
        self._geometry = _geometry(calibration, spacing_mm, spacing_rel_sd)
        spec = find_engine(name, None if engines is None else Path(engines))
        scores = load_score_calibration(spec.engine_id)
        chosen = _choose_point(spec.engine_id, scores, point)
        descriptors = DescriptorModel.load(spec.folder, spec.engine_id)
        self._task = make_task(spec, scores, chosen, descriptors)
        make = functools.partial(make_association, spec, scores, chosen, descriptors)
        self._make_association = (lambda: None) if each_frame_alone else make
        associated = self._make_association() is not None
        self._engine = open_engine(spec, backend, threads, precision)
        about = functools.partial(describe_engine, spec, scores, chosen, descriptors)
        self._about, self._about_stream = (
            msgspec.structs.replace(body, backend=self._engine.backend)
            for body in (about(), about(associated=associated))
        )
        self._lock = threading.Lock()
        self._closed = False

    @property
    def engine_id(self) -> str:
        """Name, version and weights, as every result carries it."""
        return self._about.engine_id

    @property
    def backend(self) -> str:
        """What answers, with its precision, for example ``openvino-int8``."""
        return self._about.backend

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it can find."""
        return tuple(label.name for label in self._about.labels)

    @property
    def point(self) -> str | None:
        """Operating point; None where scores are not calibrated."""
        return None if self._about.point is None else self._about.point.name

    @overload
    def __call__(self, image: Image, *, crop: Crop | None = None, frame_id: int = 0) -> FrameResult: ...
    @overload
    def __call__(self, image: list[_Item] | tuple[_Item, ...], *, crop: Crop | None = None) -> list[FrameResult]: ...
    def __call__(self, image: Any, *, crop: Crop | None = None, frame_id: int = 0) -> FrameResult | list[FrameResult]:
        """Answer one image, or several one after the other.

        Parameters
        ----------
        image : uint8 (H, W) grey or (H, W, 3) RGB (OpenCV reads BGR: ``image[..., ::-1]``), or the path of a picture
            file, or a list or tuple of these. The pixels are copied, so the caller may use the array again.
        crop : None = the image is the scan area, take all of it; ``auto`` = find the scan area in a grabbed screen; or
            x1, y1, x2, y2 in px
        frame_id : number that the result carries; those of a list are numbered from 0

        Returns
        -------
        result : of a list, a list. An engine that fails gives ``no_result``, with the cause ``engine_error``.

        Raises
        ------
        UsageError
            If it is no such image, the crop does not lie on it, or the engine has been closed.
        SourceError, SourceFormatError
            If a file cannot be read.
        ScanAreaError
            If the scan area is to be found and is not.
        CalibrationError
            If the calibration was made on a screen of another size.
        """
        if isinstance(image, list | tuple):
            return [self(item, crop=crop, frame_id=index) for index, item in enumerate(image)]
        pixels = _pixels(image)
        options = SourceOptions(session_id=_SESSION_ID, crop="none" if crop is None else crop, geometry=self._geometry)
        roi = choose_roi(options, (pixels.shape[0], pixels.shape[1]), lambda: [[pixels]])
        geometry = self._geometry
        has_scale = geometry is not None and geometry.spacing_rc_mm is not None
        frame = Frame(
            session_id=_SESSION_ID,
            source_id=_SOURCE_ID,
            frame_id=frame_id,
            t_capture_ns=0,
            image=cut(pixels, roi),
            roi_xyxy_px=roi,
            spacing_rc_mm=geometry.spacing_rc_mm if geometry is not None else None,
            spacing_rel_sd=geometry.spacing_rel_sd if geometry is not None else None,
            calibration_id=geometry.calibration_id if geometry is not None and has_scale else None,
        )
        return self._answer(frame, None, self._about, self._task)

    def stream(
        self,
        source: str | os.PathLike[str],
        *,
        crop: Crop | None = "auto",
        count: int | None = None,
        deinterlace: bool = False,
        scale: ScaleMode = "auto",
    ) -> ResultStream:
        """Answer every frame of a source, lazily and in order, as fast as it can be read; no frame is dropped.

        Parameters
        ----------
        source : a video file, a folder of pictures, a DICOM file, the folder of a recorded session, ``demo`` for the
            bundled clip with its calibration, or another address of ``docs/sources.md`` that is not live
        crop : ``auto`` = find the scan area (a session is cropped already), None = take the whole frame, or x1, y1, x2,
            y2 in px
        count : stop after so many frames
        deinterlace : take interlaced video apart
        scale : ``auto`` also reads the ruler on the screens and the header of a DICOM file, ``profile`` takes only the
            calibration of this engine, ``none`` gives no frame millimetres

        Returns
        -------
        results : an iterator, open; also a context manager

        Raises
        ------
        UsageError
            If the source is live, or crop, calibration or another option does not fit it.
        SourceError, SourceFormatError, ScanAreaError
            If it cannot be read, or shows no scan area.
        """
        self._check_open()
        address, geometry = os.fspath(source), self._geometry
        if is_live(address):
            raise UsageError(f"{address} is live, and a live stream drops frames; run usassist live and read its bus")
        if address == "demo":
            address = demo_address()
            geometry = geometry or load_geometry(DEMO_CALIBRATION)
        elif (Path(address) / "session.toml").is_file() or (Path(address) / "frames.jsonl").is_file():
            if geometry is not None:
                raise UsageError(
                    "a recorded session keeps its own scale; use an Engine without calibration and spacing_mm"
                )
            address = f"session:{address}"
        opened = open_source(
            address,
            session_id=_SESSION_ID,
            source_id=_SOURCE_ID,
            count=count,
            crop="none" if crop is None else crop,
            geometry=geometry,
            clock=MediaClock(),
            deinterlace=deinterlace,
            scale=scale,
        )
        return ResultStream(opened, self._stream_answer())

    def close(self) -> None:
        """Free the runtime. May be called twice; results that were given stay valid."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._engine.close()

    def __repr__(self) -> str:
        return f"<Engine {self.engine_id}, back end {self.backend}, point {self.point or 'of the engine'}>"

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this Engine is closed; open another")

    def _stream_answer(self) -> Callable[[Frame, float], FrameResult]:
        """What answers the frames of one stream, which may depend on those before."""
        made = self._make_association()
        if made is None:
            return functools.partial(self._answer, about=self._about, task=self._task)
        association = StreamAssociation(made, realtime=False)
        return functools.partial(
            self._answer,
            about=msgspec.structs.replace(self._about_stream, tracking=association.tracking),
            task=made.make_task(),
            association=association,
        )

    def _answer(
        self,
        frame: Frame,
        t_ms: float | None,
        about: EngineBody,
        task: Task,
        association: StreamAssociation | None = None,
    ) -> FrameResult:
        """Ask the engine, unless the frame's image may not be answered; the rules are those of the live path."""
        follows_frame_id: int | None = None
        state, cause, reason, answer = ResultState.NO_RESULT, Cause.ENGINE_ERROR, "", Answer()
        t_start_ns = t_end_ns = None
        if frame.picture is not SignalState.LIVE:
            cause = Cause.DAMAGED if frame.picture is SignalState.DAMAGED else Cause.NOT_LIVE
            reason = frame.picture_reason or str(frame.picture)
            if association is not None:
                association.reset()
        else:
            with self._lock:
                self._check_open()
                t_start_ns = time.monotonic_ns()
                try:
                    answer = task(frame, self._engine)
                    if association is not None and self.backend != "null":
                        answer, follows_frame_id = association.complete(frame, answer)
                except Exception as error:  # whatever fails, this frame has no result
                    logger.exception("no result for frame %d", frame.frame_id)
                    reason = str(error) if isinstance(error, UsAssistError) else f"engine failed: {error!r}"
                    answer = Answer()
                t_end_ns = time.monotonic_ns()
            if self.backend == "null":
                cause, reason, answer = Cause.NULL_ENGINE, reason or "back end null computes nothing", Answer()
            elif answer.abstains:
                cause, reason = Cause.OUT_OF_DOMAIN, answer.abstains
        if not reason:
            state = ResultState.FINDING if len(answer.detections) else ResultState.NO_FINDING
        record = Result(
            session_id=frame.session_id,
            source_id=frame.source_id,
            frame_id=frame.frame_id,
            t_capture_ns=frame.t_capture_ns,
            t_infer_start_ns=t_start_ns,
            t_infer_end_ns=t_end_ns,
            engine_id=self.engine_id,
            backend=self.backend,
            calibration_id=frame.calibration_id,
            image_hw_px=frame.image_hw_px,
            frames_dropped=0,
            state=state,
            cause=None if state.is_answer else cause,
            reason=reason,
            detections=answer.detections,
            segmentation=answer.segmentation,
            measurements=answer.measurements,
            descriptors=answer.descriptors,
            follows_frame_id=follows_frame_id,
        )
        return FrameResult(frame=frame, record=record, engine=about, t_ms=t_ms)


def _geometry(
    calibration: str | os.PathLike[str] | None, spacing_mm: tuple[float, float] | None, spacing_rel_sd: float | None
) -> Geometry | None:
    """The scale that the caller asks for, or None."""
    if (spacing_mm is None) != (spacing_rel_sd is None):
        raise UsageError("spacing_mm and spacing_rel_sd go together: no length without its uncertainty; give both")
    if spacing_mm is None or spacing_rel_sd is None:
        return None if calibration is None else load_geometry(os.fspath(calibration))
    if calibration is not None:
        raise UsageError("calibration and spacing_mm both give a scale; leave one out")
    row_mm, column_mm = spacing_mm
    return Geometry(
        calibration_id=_AS_GIVEN,
        crop_xyxy_px=None,
        grab_hw_px=None,
        spacing_rc_mm=(float(row_mm), float(column_mm)),
        spacing_rel_sd=float(spacing_rel_sd),
    )


def _choose_point(engine_id: str, scores: ScoreCalibration | None, point: str) -> str:
    """Name of an operating point that the engine has; of one without calibrated scores it is not used."""
    if scores is None:
        if point != "auto":
            raise UsageError(f"no operating point {point}: scores of {engine_id} are not calibrated; leave point out")
        return DEFAULT_POINT
    return scores.point(DEFAULT_POINT if point == "auto" else point).name


def _pixels(image: Any) -> UInt8Array:
    """A copy of an image, C order, checked; or the pixels of a picture file."""
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UsageError(f"{path.name} is no picture file ({' '.join(sorted(IMAGE_SUFFIXES))}); use engine.stream")
        return read_image(path)
    if not isinstance(image, np.ndarray):
        raise UsageError(f"an image is a numpy array or a path, got {type(image).__name__}; use numpy.asarray(image)")
    if image.dtype != np.uint8:
        raise UsageError(f"an image must be uint8, 0 to 255, got {image.dtype}; scale it, then .astype(numpy.uint8)")
    if not image.size or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise UsageError(f"an image must be (H, W) or (H, W, 3) RGB, got {image.shape}; several go as a list")
    return np.array(image, order="C", copy=True)
