"""Which frames of a running stream a recording holds, where it begins or ends on request."""

from __future__ import annotations

import time

__all__ = ["RecordedSpan"]

_PATIENCE_S = 2.0  # for the result of the last frame, or the frame of the last result


class RecordedSpan:
    """From the first frame whose frame and result are both certain to arrive, to the last one before the request.

    Frames and results come over different connections, and one may be made before the other: what arrives until both
    have given something may lack its counterpart, and is left out; so is what arrives before the engine and the session
    have been announced, which is done once a second. Without a request to begin everything is kept.

    Parameters
    ----------
    on_request : the recording begins in the middle of a stream

    Attributes
    ----------
    is_announced : engine and session have been announced; set by the recorder
    """

    def __init__(self, *, on_request: bool) -> None:
        self.is_announced = False
        self._latest = {"frame": -1, "result": -1}
        self._first: int | None = None if on_request else 0
        self._last: int | None = None
        self._asked_s = 0.0

    def keeps(self, topic: str, frame_id: int) -> bool:
        """Whether a frame or result is recorded; called once for each, in the order of arrival.

        Parameters
        ----------
        topic : ``frame`` or ``result``
        frame_id : of it
        """
        self._latest[topic] = max(self._latest[topic], frame_id)
        if self._first is None:
            if self.is_announced and min(self._latest.values()) >= 0:
                self._first = max(self._latest.values()) + 1
            return False
        return frame_id >= self._first and (self._last is None or frame_id <= self._last)

    def finish(self) -> None:
        """Nothing after the last frame or result that has arrived is kept. May be called twice."""
        if self._last is None:
            self._last, self._asked_s = max(self._latest.values()), time.monotonic()

    @property
    def is_finishing(self) -> bool:
        """It was asked to finish."""
        return self._last is not None

    @property
    def is_over(self) -> bool:
        """It was asked to finish, and the last frame and its result have come or are not waited for any longer."""
        if self._last is None:
            return False
        return min(self._latest.values()) >= self._last or time.monotonic() - self._asked_s > _PATIENCE_S
