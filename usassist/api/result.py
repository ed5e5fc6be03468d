"""What an engine answered about one frame, in the forms that people compute with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, SessionBody, SessionState
from usassist.errors import UsageError
from usassist.frames import fill_labelmap
from usassist.records import Cause, Descriptors, Frame, Measurements, Result, ResultState, Segmentation
from usassist.sinks.lines import result_line

if TYPE_CHECKING:
    import pandas
    import supervision

__all__ = ["FrameResult"]

# Of a line of results.jsonl: the monotonic stamps and the drops of a live stream, which mean nothing here.
_OF_A_LIVE_STREAM = (
    "t_capture_ns",
    "t_infer_start_ns",
    "t_input_ns",
    "t_output_ns",
    "t_infer_end_ns",
    "t_publish_ns",
    "frames_dropped",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FrameResult:
    """The result of one frame. Made by :class:`usassist.Engine`.

    Look at ``state`` first: the arrays are empty both where the engine found nothing (``no_finding``) and where there
    is no answer (``no_result``). All coordinates are px of ``image``, with the origin at the top-left corner of the
    top-left pixel. Row i of every array is detection i, best score first.

    Attributes
    ----------
    frame : the frame that was answered: its image, number, stamps, crop and scale
    record : everything that was found, as the bus carries it
    engine : what answered: labels with their thresholds, operating point, score calibration
    t_ms : time in the source, ms since its first frame; None for an array or picture file
    """

    frame: Frame
    record: Result
    engine: EngineBody
    t_ms: float | None = None

    @property
    def state(self) -> ResultState:
        """``finding``, ``no_finding`` or ``no_result``; it compares equal to these texts."""
        return self.record.state

    @property
    def is_answer(self) -> bool:
        """False where the frame has no result."""
        return self.record.state.is_answer

    @property
    def cause(self) -> Cause | None:
        """Why there is no answer, in one word; None where there is one."""
        return self.record.cause

    @property
    def reason(self) -> str:
        """Why there is no answer, in words; empty where there is one."""
        return self.record.reason

    @property
    def frame_id(self) -> int:
        """Number of the frame in its source, from 0."""
        return self.frame.frame_id

    @property
    def pts(self) -> int | None:
        """Presentation time stamp in the file, in units of ``frame.time_base``; None where the source has none."""
        return self.frame.pts

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The pixels that were answered, cropped: uint8 (H, W) grey or (H, W, 3) RGB, read-only."""
        return self.frame.image

    @property
    def boxes_xyxy_px(self) -> npt.NDArray[np.float32]:
        """Boxes, float32 (N, 4): x1, y1, x2, y2."""
        return self.record.detections.xyxy_px

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Scores, float32 (N,), 0 to 1; calibrated exactly when ``engine.score_calibration_id`` is not None."""
        return self.record.detections.score

    @property
    def label_ids(self) -> npt.NDArray[np.int32]:
        """Labels, int32 (N,), ``id`` of ``engine.labels``."""
        return self.record.detections.label_id

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, N."""
        names = {label.id: label.name for label in self.engine.labels}
        return tuple(names[label_id] for label_id in self.label_ids.tolist())

    @property
    def outlines(self) -> tuple[npt.NDArray[np.float32], ...]:
        """One closed outline per detection, float32 (K, 2) x, y, through the centres of the outermost pixels."""
        return tuple(self.record.segmentation)

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """Regions, bool (N, H, W): the outlines, filled. Made anew on every access."""
        hw_px = self.frame.image_hw_px
        masks = [fill_labelmap(Segmentation.of([outline]), hw_px).astype(np.bool_) for outline in self.outlines]
        return np.stack(masks) if masks else np.zeros((0, *hw_px), np.bool_)

    @property
    def sizes(self) -> Measurements:
        """Sizes, one array of N per column: in px, and where the frame has a scale also in mm, with the half-width of
        the 95 % interval as ``…_u95_mm``; else None. What each is: ``docs/measurement.md``.

        Where ``sizes.is_cut(i)``, the border of the scan cuts nodule i: its sizes are lower bounds without an interval.
        ``sizes.row(i)`` has what is known of nodule i, by name.
        """
        return self.record.measurements

    @property
    def descriptors(self) -> Descriptors:
        """Estimated descriptors, one entry per detection; empty where the engine estimates none."""
        return self.record.descriptors

    @property
    def infer_ms(self) -> float | None:
        """From pixels to answer, ms; None where the engine was not asked."""
        start_ns, end_ns = self.record.t_infer_start_ns, self.record.t_infer_end_ns
        return None if start_ns is None or end_ns is None else (end_ns - start_ns) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """The result in plain Python types. Keys of ``results.jsonl`` mean the same and have the same values here.

        Returns
        -------
        document : see the table in ``docs/python.md``
        """
        line = result_line(self.record, self.engine, 0)
        line["image_hw_px"] = list(line["image_hw_px"])
        line |= {key: None if line[key] is None else str(line[key]) for key in ("state", "cause")}
        frame, point = self.frame, self.engine.point
        return {
            "frame_id": line.pop("frame_id"),
            "t_ms": self.t_ms,
            "pts": frame.pts,
            "time_base": None if frame.time_base is None else str(frame.time_base),
            **{key: value for key, value in line.items() if key not in _OF_A_LIVE_STREAM},
            "roi_xyxy_px": list(frame.roi_xyxy_px),
            "spacing_rc_mm": None if frame.spacing_rc_mm is None else list(frame.spacing_rc_mm),
            "spacing_rel_sd": frame.spacing_rel_sd,
            "score_calibration_id": self.engine.score_calibration_id,
            "point": None if point is None else point.name,
            "infer_ms": self.infer_ms,
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_supervision(self) -> supervision.Detections:
        """Boxes, masks, scores and labels as ``supervision.Detections``.

        Raises
        ------
        UsageError
            If the frame has no result: an empty ``Detections`` would say that nothing was found.
        ImportError
            If ``supervision`` is not installed.
        """
        from usassist.api.adapters import to_supervision

        return to_supervision(self)

    def to_pandas(self) -> pandas.DataFrame:
        """One row per nodule, and one row for a frame without any, as ``usassist session export --csv`` writes them.

        Frames of a stream go together with ``pandas.concat``.

        Raises
        ------
        ImportError
            If ``pandas`` is not installed.
        """
        from usassist.api.adapters import to_pandas

        return to_pandas(self)

    def draw(self, image: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """The result drawn as the overlay draws it: outlines and boxes on the image, state and sizes in bars beside it.

        A frame without a result is drawn with a red hatched border. Small images are enlarged by a whole number.

        Parameters
        ----------
        image : uint8 (H, W) or (H, W, 3) RGB of the size of ``self.image``, which is used where it is left out

        Returns
        -------
        drawing : uint8 (H + bars, W, 3) RGB

        Raises
        ------
        UsageError
            If the image has another size.
        """
        from usassist.sinks.overlay import Painter
        from usassist.sinks.view import view_of_frame

        frame = self.frame
        if image is not None:
            if image.shape[:2] != frame.image_hw_px:
                raise UsageError(
                    f"the result is of an image of {frame.image_hw_px} px (height, width) and this one has "
                    f"{image.shape[:2]}; call draw() without it, or with the cropped image"
                )
            frame = replace(frame, image=image)
        view = view_of_frame(self.record, self.engine, _NOT_LIVE, self.record.t_capture_ns, frame.picture)
        return Painter().paint(frame, self.record, view, self.engine).copy()

    def __repr__(self) -> str:
        about = f"{len(self.scores)} nodules" if self.is_answer else f"{self.cause}: {self.reason}"
        return f"<FrameResult frame {self.frame_id}, {self.state}, {about}>"


_NOT_LIVE = SessionBody(
    session_id="none",
    state=SessionState.RUNNING,
    source="",
    image_hw_px=(0, 0),
    rate_hz=None,
    frame_count=None,
    calibration_id=None,
    last_frame_id=0,
    realtime=False,
    max_age_ms=0.0,
)
