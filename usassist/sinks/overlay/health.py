"""Health messages of an overlay: the latency stage ``draw``, CPU time and memory."""

from __future__ import annotations

from usassist.bus import HealthBody, StageBody
from usassist.common.clock import Clock
from usassist.common.latency import LatencyHistogram
from usassist.common.process_tuning import cpu_s, rss_bytes
from usassist.sinks.overlay.marks import Outbox

__all__ = ["OverlayHealth"]

_PERIOD_NS = 1_000_000_000
_FOLLOWED = 256


class OverlayHealth:
    """Counts what is drawn, and sends a health message once a second.

    The stage ``draw`` is from when both frame and result have arrived until they are drawn; frames drawn without a
    result are not part of it.

    Parameters
    ----------
    clock : for the stage
    outbox : to the stream; None = nothing is sent
    """

    def __init__(self, clock: Clock, outbox: Outbox | None = None) -> None:
        self._clock = clock
        self._outbox = outbox
        self._here_ns: dict[int, int] = {}
        self._draw = LatencyHistogram()
        self._frames = self._answered = 0
        self._next_ns = 0

    def arrived(self, frame_id: int) -> None:
        """The frame or the result of this id has arrived; the later of the two starts the stage."""
        self._here_ns[frame_id] = self._clock.now_ns()
        if len(self._here_ns) > _FOLLOWED:
            del self._here_ns[next(iter(self._here_ns))]

    def drawn(self, frame_id: int, *, has_result: bool, answered: bool) -> None:
        """A frame was drawn.

        Parameters
        ----------
        frame_id : its id
        has_result : its own result had arrived
        answered : that result is an answer
        """
        here_ns = self._here_ns.pop(frame_id, None)
        if has_result and here_ns is not None:
            self._draw.record(self._clock.now_ns() - here_ns)
        self._frames += 1
        self._answered += answered

    def publish(self, dropped: int = 0) -> None:
        """Send a health message, at most one a second.

        Parameters
        ----------
        dropped : frames that were skipped or never arrived
        """
        now_ns = self._clock.now_ns()
        if self._outbox is None or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + _PERIOD_NS
        draw = self._draw.summary()
        body = HealthBody(
            process="overlay",
            frames=self._frames,
            answered=self._answered,
            dropped=dropped,
            by_state={},
            rate_hz=None,
            latency_p50_ms=None,
            latency_p95_ms=None,
            stages={} if draw is None else {"draw": StageBody(**draw)},
            cpu_s=cpu_s(),
            rss_bytes=rss_bytes(),
        )
        self._outbox.send("health", body)
