"""Association of findings over the frames of a stream: which frames are remembered, and when all are forgotten.

It is applied in one place, to the outcomes in the order of the frames, however many engines have worked in parallel.
Every answer carries the number of the frame that it follows, so a rerun can remember the same frames: those that were
dropped or failed while the recording was made are answered again, but not remembered, and what is found on them gets no
track id.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from usassist.bus import TrackingBody, TrackingClock
from usassist.common.clock import Clock
from usassist.errors import UsAssistError
from usassist.frames import compute_thumbnail, goes_on, may_go_on
from usassist.modalities import Association
from usassist.pipeline.inference import InferenceOutcome
from usassist.records import Answer, Frame

__all__ = ["StreamAssociation"]

logger = logging.getLogger(__name__)

_MAX_GAP_NS = 500_000_000  # after a longer pause the probe may be anywhere
_MAX_GAP_FRAMES = 15  # likewise, where frames have no time of their own: half a second at 30 Hz
_USUAL_RATE_HZ = 30.0


class StreamAssociation:
    """Completes the answers of one stream. Frames must come in their order, and in one thread at a time.

    All frames are forgotten where the frame before is too far away (more than half a second in real time, or more than
    15 frames), where the source, the scan area or the size of the image changes, where the image is another one (after
    a cut, and between stills), where the engine abstains (the probe shows another region, so the frames before say
    nothing about those after), and by :meth:`reset`. Any other frame
    without an answer is not remembered and changes nothing else; neither does a change of the back end, which answers
    for the same engine within its tolerances.

    Which nodule is which (``track_id``) outlasts all of that but another source, scan area, size or image: for how long
    is a matter of time, which the tracker decides.

    Parameters
    ----------
    association : of the engine's modality
    realtime : the stamps of the frames are times at which they were captured, so their distances count
    recorded : number of a frame that was answered → number of the frame that its answer followed, None = it followed
        none; of a recording that is run again. None = decide by the rules above
    recorded_t_ns : number of a frame → its stamp in that recording, ns, where it was made in real time

    Attributes
    ----------
    tracking : by which rule and clock findings get their track ids; None where they get none
    """

    def __init__(
        self,
        association: Association,
        *,
        realtime: bool,
        recorded: Mapping[int, int | None] | None = None,
        recorded_t_ns: Mapping[int, int] | None = None,
    ) -> None:
        self._association, self._realtime, self._recorded = association, realtime, recorded
        self._recorded_t_ns = recorded_t_ns
        self.tracking = _describe_tracking(association.tracking, realtime, recorded_t_ns is not None)
        self._last: tuple[int, int] | None = None  # number and stamp of the last frame that is remembered
        self._last_thumbnail: npt.NDArray[np.float32] | None = None  # of that frame, also where it is forgotten
        self._t_s = 0.0  # of that frame

    def reset(self) -> None:
        """Forget all frames; to be called at a frame that is not live."""
        self._association.reset()
        self._last = None

    def complete(self, frame: Frame, candidates: Answer) -> tuple[Answer, int | None]:
        """The answer for the next frame. Where the engine abstains it stays as it is, and all frames are forgotten.

        Returns
        -------
        answer : what is shown
        follows_frame_id : number of the last frame that it depends on; None = of none
        """
        if candidates.abstains:
            # In a recording that is run again, the frame may have been dropped, and then nothing was forgotten.
            if self._recorded is None:
                self.reset()
            return candidates, None
        remember = self._recorded is None or frame.frame_id in self._recorded
        thumbnail = compute_thumbnail(frame.image) if remember else None
        if self._last is not None and not self._goes_on(frame, thumbnail, *self._last):
            self.reset()
        follows_frame_id = None if self._last is None else self._last[0]
        same_image = thumbnail is None or self._last_thumbnail is None or may_go_on(self._last_thumbnail, thumbnail)
        t_s = max(self._time_s(frame), self._t_s)
        answer = self._association.complete(
            frame, candidates, t_s=t_s, same_image=same_image or follows_frame_id is not None, remember=remember
        )
        if remember:
            self._last, self._last_thumbnail = (frame.frame_id, frame.t_capture_ns), thumbnail
            self._t_s = t_s
        return answer, follows_frame_id

    def apply(self, outcome: InferenceOutcome, clock: Clock) -> InferenceOutcome:
        """The same with a complete answer. Never raises an ``Exception``: a failure is an outcome."""
        if outcome.reason or outcome.backend == "null":
            return outcome
        try:
            answer, follows_frame_id = self.complete(outcome.frame, outcome.answer)
        except Exception as error:
            logger.exception("no result for frame %d", outcome.frame.frame_id)
            reason = str(error) if isinstance(error, UsAssistError) else f"association failed: {error!r}"
            return dataclasses.replace(outcome, answer=Answer(), reason=reason, t_end_ns=clock.now_ns())
        return dataclasses.replace(outcome, answer=answer, follows_frame_id=follows_frame_id, t_end_ns=clock.now_ns())

    def _time_s(self, frame: Frame) -> float:
        """Time of a frame for the tracker; in a rerun that of the recording, so that it gives the same ids."""
        if self._recorded_t_ns is not None:
            return self._recorded_t_ns.get(frame.frame_id, 0) / 1e9
        return frame.t_capture_ns / 1e9 if self._realtime else frame.frame_id / _USUAL_RATE_HZ

    def _goes_on(
        self, frame: Frame, thumbnail: npt.NDArray[np.float32] | None, last_frame_id: int, t_last_ns: int
    ) -> bool:
        """Whether a frame belongs to those that are remembered."""
        if not self._association.follows(frame):
            return False
        if self._recorded is not None:
            return self._recorded.get(frame.frame_id, last_frame_id) == last_frame_id
        if thumbnail is not None and self._last_thumbnail is not None and not goes_on(self._last_thumbnail, thumbnail):
            return False
        if self._realtime and frame.t_capture_ns - t_last_ns > _MAX_GAP_NS:
            return False
        return frame.frame_id - last_frame_id <= _MAX_GAP_FRAMES


def _describe_tracking(rule: str, realtime: bool, is_recorded_time: bool) -> TrackingBody | None:
    if not rule:
        return None
    clock = TrackingClock.CAPTURE_TIME if realtime else TrackingClock.FRAME_NUMBER
    return TrackingBody(rule=rule, clock=TrackingClock.RECORDED_TIME if is_recorded_time else clock)
