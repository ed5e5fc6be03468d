"""The recorder: everything that was published, into a session folder.

=================== ==========================================================================================
``session.toml``    what was recorded, with what; ``complete = true`` only when closed in order and without a gap
``frames.mkv``      the cropped frames, FFV1, lossless; picture k is line k of ``frames.jsonl``. A stream that
                    changes its size, or turns from grey to colour, goes on in ``frames_2.mkv`` and so on
``frames.jsonl``    one line per frame: number, stamps, where it lies
``results.jsonl``   one line per frame: state, cause, nodules with outline, sizes and descriptors
``bus.log``         the messages byte for byte; pixels are replaced by their place in ``frames.mkv``
=================== ==========================================================================================

Every line and every picture is handed to the operating system as soon as it is there, so that what was recorded is
readable whatever ends the recorder. Folder and files are private to the user.
"""

from __future__ import annotations

import contextlib
import logging
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import av
import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import tomlkit

from usassist import __version__
from usassist.bus import (
    TOPICS,
    EngineBody,
    Message,
    MessageLogWriter,
    SessionState,
    Subscriber,
    frame_from,
    result_from,
)
from usassist.clock import ClockPair, clock_pair
from usassist.errors import SessionError
from usassist.records import Frame, PictureState, Result
from usassist.sinks.ending import POLL_MS, StreamEnd
from usassist.sinks.files import explain, prepare_folder, write_atomic
from usassist.sinks.video import VideoWriter

__all__ = ["Recorder", "result_line"]

logger = logging.getLogger(__name__)

# 1.1: `engines` say point and score_calibration_id, where scores are calibrated; nodules have descriptors
SESSION_SCHEMA = (1, 1)
_RIM_PX = 6  # around a box of text: the colour it is covered with comes from there
_TOPICS = tuple(topic.name for topic in TOPICS.values() if topic.recorded)
_to_json = msgspec.json.Encoder().encode


class Recorder:
    """Records one stream into one folder.

    Parameters
    ----------
    address : of the stream's bus
    folder : an empty or new folder
    abandoned : True when nobody is left who would send; asked while nothing comes

    Raises
    ------
    SessionError
        If the folder holds a session already, or cannot be written.
    """

    def __init__(self, address: str, folder: Path, abandoned: Callable[[], bool]) -> None:
        self._folder = folder
        prepare_folder(folder)
        self._clock: ClockPair = clock_pair()
        self._files: dict[str, BinaryIO] = {}
        self._log: MessageLogWriter | None = None
        self._video: VideoWriter | None = None
        self._video_key: tuple[tuple[int, int], str] | None = None
        self._video_count = 0
        self._end = StreamEnd(abandoned)
        self._engines: dict[tuple[str, str], EngineBody] = {}  # by engine and back end
        self._engine: dict[str, EngineBody] = {}  # by engine: as it was announced last
        self._calibrations: set[str] = set()
        self.frames = 0
        self.results = 0
        self.subscriber = Subscriber(address, _TOPICS, "archive")
        try:
            for name in ("frames.jsonl", "results.jsonl"):
                self._files[name] = (folder / name).open("xb", buffering=0)
            self._log = MessageLogWriter(folder / "bus.log")
            self._write_session(complete=False)
        except (OSError, SessionError) as error:
            made = [*self._files, *(["bus.log"] if self._log is not None else [])]
            self._close_files()
            for name in made:
                (folder / name).unlink(missing_ok=True)
            raise SessionError(explain(folder, error)) from error

    def run(self) -> None:
        """Record until the stream says that it has ended, or falls silent after its parent has gone.

        Raises
        ------
        SessionError
            If something cannot be written; what was written before stays readable.
        """
        try:
            for data, message in self.subscriber.each(POLL_MS, self._end.reached):
                first_session = self._end.session is None
                self._end.take(message)
                self._take(data, message)
                if first_session and self._end.session is not None:
                    self._write_session(complete=False)
            self._close_video()
            self._write_session(complete=self._is_complete())
        except OSError as error:
            raise SessionError(explain(self._folder, error)) from error
        finally:
            self._close_files()

    def _take(self, data: bytes | memoryview, message: Message) -> None:
        name = message.topic.name
        log = self._log
        assert log is not None  # open until run() ends
        if name == "frame":
            log.append(bytes(data[: message.header_bytes]), without_pixels=True)
            self._take_frame(frame_from(message))
        else:
            log.append(data)
        if name == "result":
            result = result_from(message)
            self.results += 1
            line = result_line(result, self._engine.get(result.engine_id), message.t_publish_ns)
            self._files["results.jsonl"].write(_to_json(line) + b"\n")
        elif name == "engine":
            body = message.body
            self._engine[body.engine_id] = body
            if (body.engine_id, body.backend) not in self._engines:  # the first, or another back end took over
                self._engines[body.engine_id, body.backend] = body
                self._write_session(complete=False)

    def _take_frame(self, frame: Frame) -> None:
        image = _covered(frame)
        grey = image if image.ndim == 2 else _grey_plane(image)
        kind = "gray" if grey is not None else "bgr0"
        if self._video_key is not None and self._video_key == (frame.image_hw_px, "bgr0"):
            kind = "bgr0"  # a stream that has shown colour once stays in one file
        if self._video is None or self._video_key != (frame.image_hw_px, kind):
            self._close_video()
            self._video_count += 1
            session = self._end.session
            rate_hz = (session.rate_hz if session else None) or 30.0
            self._video = VideoWriter(self._folder / self._video_name(), frame.image_hw_px, rate_hz, pixel_format=kind)
            self._video_key = (frame.image_hw_px, kind)
        self._video.write(grey if kind == "gray" and grey is not None else image, frame.frame_id)
        line = {
            "frame_id": frame.frame_id,
            "t_capture_ns": frame.t_capture_ns,
            **({} if frame.t_decoded_ns is None else {"t_decoded_ns": frame.t_decoded_ns}),
            **({} if frame.picture is PictureState.LIVE else {"picture": frame.picture}),
            "pts": frame.pts,
            "time_base": None if frame.time_base is None else str(frame.time_base),
            "file": self._video_name(),
            "channels": 1 if image.ndim == 2 else 3,
            "roi_xyxy_px": frame.roi_xyxy_px,
            "spacing_rc_mm": frame.spacing_rc_mm,
            "spacing_rel_sd": frame.spacing_rel_sd,
            "calibration_id": frame.calibration_id,
            **({"covered_xyxy_px": frame.text_xyxy_px} if frame.text_xyxy_px else {}),
        }
        self._files["frames.jsonl"].write(_to_json(line) + b"\n")
        if frame.calibration_id is not None:
            self._calibrations.add(frame.calibration_id)
        self.frames += 1

    def _video_name(self) -> str:
        return "frames.mkv" if self._video_count == 1 else f"frames_{self._video_count}.mkv"

    def _is_complete(self) -> bool:
        session = self._end.session
        return (
            session is not None
            and session.state is SessionState.ENDED
            and not any(self.subscriber.gaps.values())
            and self.frames == self.results == session.last_frame_id + 1
        )

    def _write_session(self, *, complete: bool) -> None:
        session = self._end.session
        document: dict[str, Any] = {
            "schema": list(SESSION_SCHEMA),
            "session_id": session.session_id if session else "",
            "complete": complete,
            "state": str(session.state) if session else "waiting",
            "created_utc": self._clock.utc,
            "clock": {"t_monotonic_ns": self._clock.t_monotonic_ns, "utc": self._clock.utc},
            "frames": self.frames,
            "results": self.results,
            "gaps": dict(self.subscriber.gaps),
        }
        if session:
            document["source"] = {
                "description": session.source,
                "image_hw_px": list(session.image_hw_px),
                "realtime": session.realtime,
                **({} if session.rate_hz is None else {"rate_hz": session.rate_hz}),
                **({"reason": session.reason} if session.reason else {}),
            }
        document["calibrations"] = sorted(self._calibrations)
        document["engines"] = [
            {"engine_id": body.engine_id, "backend": body.backend, "intended_use": body.intended_use, **_scores(body)}
            for body in self._engines.values()
        ]
        document["versions"] = {
            "usassist": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "av": av.__version__,
        }
        write_atomic(self._folder / "session.toml", tomlkit.dumps(document).encode("utf-8"))

    def _close_video(self) -> None:
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def _close_files(self) -> None:
        with contextlib.suppress(SessionError):  # the first error is the one to tell
            self._close_video()
        for file in self._files.values():
            file.close()
        if self._log is not None:
            self._log.close()
        self.subscriber.close()


def _covered(frame: Frame) -> npt.NDArray[np.uint8]:
    """The picture of a frame, with whole boxes over text and marks, so that nothing can be read from their shape."""
    if not frame.text_xyxy_px:
        return frame.image
    image = frame.image.copy()
    height, width = frame.image_hw_px
    for x1, y1, x2, y2 in frame.text_xyxy_px:
        left, top, right, bottom = max(x1 - _RIM_PX, 0), max(y1 - _RIM_PX, 0), x2 + _RIM_PX, y2 + _RIM_PX
        around = frame.image[top : min(bottom, height), left : min(right, width)]
        image[y1:y2, x1:x2] = np.median(around, axis=(0, 1)).astype(np.uint8)
    return image


def result_line(result: Result, engine: EngineBody | None, t_publish_ns: int) -> dict[str, Any]:
    """A result as one line of ``results.jsonl``, readable without usassist.

    Parameters
    ----------
    result : the result
    engine : names its labels, and tells how well its descriptors agree with readers, where known
    t_publish_ns : when it went out, monotonic ns
    """
    names = {label.id: label.name for label in engine.labels} if engine else {}
    least = {label.id: label.score_threshold for label in engine.labels} if engine else {}
    found, sizes = result.detections, result.measurements
    nodules = [
        {
            "label": names.get(int(found.label_id[i])),
            "label_id": int(found.label_id[i]),
            "track_id": int(found.track_id[i]),
            "score": _rounded_score(float(found.score[i]), least.get(int(found.label_id[i]), 0.0)),
            "xyxy_px": _rounded(found.xyxy_px[i]),
            "contour_xy_px": _rounded(contour),
            **{
                name: None if (column := getattr(sizes, name)) is None else round(float(column[i]), 3)
                for name in (*sizes.PIXEL_COLUMNS, *sizes.MILLIMETRE_COLUMNS)
            },
            "descriptors": _descriptors(result, i, engine),
        }
        for i, contour in enumerate(result.segmentation)
    ]
    return {
        "frame_id": result.frame_id,
        "state": result.state,
        "cause": result.cause,
        "reason": result.reason,
        "t_capture_ns": result.t_capture_ns,
        "t_infer_start_ns": result.t_infer_start_ns,
        "t_infer_end_ns": result.t_infer_end_ns,
        "t_publish_ns": t_publish_ns,
        "frames_dropped": result.frames_dropped,
        "engine_id": result.engine_id,
        "backend": result.backend,
        "calibration_id": result.calibration_id,
        "image_hw_px": result.image_hw_px,
        "nodules": nodules,
    }


def _descriptors(result: Result, index: int, engine: EngineBody | None) -> list[dict[str, Any]]:
    """Descriptors of one nodule, each with its agreement with readers; None where that is not known."""
    if not result.descriptors:
        return []
    agreement = engine.descriptor_agreement if engine else {}
    return [
        {
            "name": item.name,
            "value": item.value,
            "probability": round(item.probability, 3),
            "basis": item.basis,
            "agreement": agreement.get(item.name),
        }
        for item in result.descriptors[index]
    ]


def _scores(engine: EngineBody) -> dict[str, str]:
    """How scores were cut and what they were calibrated with; nothing where they are raw."""
    if engine.point is None or engine.score_calibration_id is None:
        return {}
    return {"point": engine.point.name, "score_calibration_id": engine.score_calibration_id}


def _rounded_score(score: float, threshold: float) -> float:
    """A score that reached its threshold is not written as one that did not."""
    rounded = round(score, 4)
    return threshold if rounded < threshold <= score else rounded


def _grey_plane(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """The one plane of an RGB picture whose three are equal, else None. Most B-mode pictures are such."""
    red, green, blue = cv2.split(image)
    same = np.array_equal(red, green) and np.array_equal(green, blue)
    return np.asarray(green, np.uint8) if same else None


def _rounded(values: npt.NDArray[np.float32]) -> Any:
    return np.round(values.astype(np.float64), 2).tolist()
