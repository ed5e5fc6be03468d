"""Read an open stream or device, from the packet to the screen: the code that all live inputs share."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from usassist.common.closeable import Closeable
from usassist.common.fresh_queue import FRESH_QUEUE_SIZE, STALL_COOLDOWN_NS
from usassist.common.pyav import av
from usassist.errors import SourceError
from usassist.sources.aspect import describe_aspect, make_square
from usassist.sources.damage import FrameDecoder, set_threads
from usassist.sources.grab import Grab
from usassist.sources.interlacing import DEINTERLACED, INTERLACED, Deinterlacer, is_interlaced
from usassist.sources.screen import Screen

__all__ = ["Backlog", "StreamGrabber", "StreamHooks", "describe_error"]

_log = logging.getLogger(__name__)

_MIN_RATE_HZ, _MAX_RATE_HZ = 1.0, 240.0  # a rate estimated from a short probe of the stream may be nonsense
# Packets in a row without a frame before an input is given up; a stream that is joined has none before a keyframe.
_MAX_WITHOUT_FRAME_AT_START = 600
_MAX_WITHOUT_FRAME = 60
_MAX_ARRIVALS = 64  # packets that a decoder may hold back
_UNCOMPRESSED = ("rawvideo", "bitpacked", "v210")  # a frame may lie in a driver's buffer, which goes with the device
_WAITED_NS = 1_000_000  # a read that takes longer had to wait for its data, so the buffer was empty
_DEFAULT_RATE_HZ = 30.0
_MAX_AGE_NS = 2_000_000_000  # a driver's timestamp that is older, or in the future, is from another clock


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHooks:
    """Callbacks and settings of one kind of input.

    Attributes
    ----------
    before_read : waits for data, and raises ``SourceError`` when none arrive; its argument is a function that returns
        True when the wait must be abandoned
    interrupt : makes a read that waits in another thread return
    release : runs once, after the container was closed; may be called in any thread
    ended : called at the end of the stream; raises ``SourceError`` where the stream ended with an error
    driver_stamps : timestamps of the stream, times its time base, are on the monotonic clock where they are plausible
    """

    before_read: Callable[[Callable[[], bool]], None] | None = None
    interrupt: Callable[[], None] | None = None
    release: Callable[[], None] | None = None
    ended: Callable[[], None] | None = None
    driver_stamps: bool = False


class StreamGrabber(Closeable):
    """Screens of the first video stream of an open container. See :class:`usassist.sources.grab.Grabber`.

    Parameters
    ----------
    container : open; closed with the grabber
    scheme : the kind of input, for messages
    mode : follows scheme and codec in the description
    warnings : problems of the mode
    rate_hz : nominal rate where a better one than the stream's is known
    hooks : callbacks and settings of this kind of input
    deinterlace : deinterlace every frame, which delays it by one period

    Raises
    ------
    SourceError
        If it holds no video that can be decoded; then the container is closed.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        *,
        scheme: str,
        mode: str = "",
        warnings: tuple[str, ...] = (),
        rate_hz: float | None = None,
        hooks: StreamHooks | None = None,
        deinterlace: bool = False,
    ) -> None:
        self._container = container
        self._scheme = scheme
        self._hooks = hooks or StreamHooks()
        self._lock = threading.Lock()  # held while FFmpeg runs: the container must not be closed meanwhile
        self._closing = threading.Event()
        self._released = False
        self._number = 0
        self._damaged = False
        self._without_frame = 0
        self._left_ns: int | None = None
        self._silence_ns = 1e9 * float(container.read_timeout or float("inf"))
        self._arrivals: dict[int | None, int] = {}
        try:
            self._stream = self._pick_stream()
            set_threads(self._stream, low_latency=True)
            self._decoder = FrameDecoder(self._stream, hold=False)
            self._deinterlacer = Deinterlacer() if deinterlace else None
            codec = self._stream.codec_context.name
            self._borrows_memory = codec in _UNCOMPRESSED
        except BaseException:
            self.close()
            raise
        self.rate_hz = rate_hz if rate_hz is not None else self._stated_rate_hz()
        self.description = ", ".join(filter(None, (scheme, codec, mode)))
        self.warnings = warnings
        self._size_px: tuple[int, int] | None = None
        self._aspect: Fraction | None = None
        self._warn_if_interlaced = not deinterlace
        if deinterlace:
            self.warnings += (DEINTERLACED,)
        elif is_interlaced(self._stream):
            self._warn_interlaced()
        self._check_size(self._stream.width, self._stream.height)

    def grabs(self) -> Iterator[Grab]:
        """Yield the screens as they arrive.

        A caller that comes back after more than a period gets only the newest queued one (see :class:`Backlog`);
        ``number`` counts the skipped ones.

        Raises
        ------
        SourceError
            If the stream falls silent, breaks off, or cannot be decoded any more.
        """
        packets = self._container.demux(self._stream)
        backlog = Backlog(self.rate_hz)
        while not self._closing.is_set():
            with self._lock:
                try:
                    if self._released:
                        return
                    grabs, ended = self._read(packets, backlog)
                except SourceError:
                    if self._closing.is_set():
                        return
                    raise
                finally:
                    if self._closing.is_set():
                        self._release()
            yield from grabs
            if ended:
                if self._hooks.ended is not None and not self._closing.is_set():
                    self._hooks.ended()
                return

    def close(self) -> None:
        """Release the device or connection: at once, or when a read in another thread returns."""
        self._closing.set()
        if self._hooks.interrupt is not None:
            self._hooks.interrupt()
        if self._lock.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._lock.release()

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self._container.close()
        if self._hooks.release is not None:
            self._hooks.release()

    def _read(self, packets: Iterator[Any], backlog: Backlog) -> tuple[list[Grab], bool]:
        """Read one packet and decode it into grabs; the second value is True at the end of the stream."""
        started_ns = time.monotonic_ns()
        if self._left_ns is not None:
            backlog.away(started_ns - self._left_ns, started_ns)
        try:
            if self._hooks.before_read is not None:
                self._hooks.before_read(self._closing.is_set)
            packet = next(packets, None)
        except av.error.ExitError:
            raise self._silent() from None
        except av.error.FFmpegError as error:
            raise SourceError(
                f"{self._scheme} broke off: {describe_error(error)}; check the device and its cable"
            ) from None
        if packet is None:
            return [], True
        self._left_ns = arrived_ns = time.monotonic_ns()
        if arrived_ns - started_ns > self._silence_ns:
            raise self._silent()  # a packet that the demuxer returns when it is interrupted is old
        if packet.size == 0 and packet.pts is not None:
            self._damaged = True  # an empty buffer: the driver could not fill it
            self._decoder.lost()
            return [], False
        self._arrivals[packet.pts] = arrived_ns
        if len(self._arrivals) > _MAX_ARRIVALS:
            del self._arrivals[next(iter(self._arrivals))]
        self._damaged |= bool(packet.is_corrupt)
        frames = self._decode(packet)
        old = backlog.is_old(arrived_ns - started_ns) if frames else False
        self._number += len(frames)
        kept = [] if old else frames
        first = self._number - len(kept)
        return [self._grab(*decoded, first + index, arrived_ns) for index, decoded in enumerate(kept)], False

    def _silent(self) -> SourceError:
        return SourceError(f"{self._scheme}: no more data arrive; check that the sender runs")

    def _decode(self, packet: Any) -> list[tuple[av.VideoFrame, str]]:
        """The frames of a packet, each with the reason why it is damaged."""
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            self._damaged = True
            self._count_without_frame(describe_error(error))
            return []
        if frames:
            self._without_frame = 0
        else:
            self._count_without_frame("no frame in it")
        if self._deinterlacer is not None:
            frames = [ready for decoded in frames for ready in self._deinterlacer.feed(*decoded)]
        return frames

    def _check_size(self, width_px: int, height_px: int) -> None:
        """Read the pixel aspect again when the frame size changes."""
        if (width_px, height_px) == self._size_px:
            return
        self._size_px = width_px, height_px
        self._aspect = self._stream.sample_aspect_ratio
        warning = describe_aspect(width_px, height_px, self._aspect)
        if warning and warning not in self.warnings:
            self._warn(warning)

    def _warn_interlaced(self) -> None:
        self._warn_if_interlaced = False
        self._warn(INTERLACED)

    def _warn(self, warning: str) -> None:
        self.warnings += (warning,)
        _log.warning("%s: %s", self._scheme, warning)

    def _count_without_frame(self, why: str) -> None:
        self._without_frame += 1
        if self._without_frame >= (_MAX_WITHOUT_FRAME if self._number else _MAX_WITHOUT_FRAME_AT_START):
            raise SourceError(
                f"{self._scheme}: {self._without_frame} packets in a row could not be decoded ({why}); "
                "the sender may have changed its codec: check its settings"
            )

    def _grab(self, frame: av.VideoFrame, damage_reason: str, number: int, arrived_ns: int) -> Grab:
        if self._warn_if_interlaced and frame.interlaced_frame:
            self._warn_interlaced()
        self._check_size(frame.width, frame.height)
        try:
            screen = Screen.of(make_square(frame, self._aspect), borrowed=self._borrows_memory)
        except (av.error.FFmpegError, ValueError, MemoryError) as error:
            raise SourceError(
                f"{self._scheme}: pixel format {frame.format.name} cannot be converted ({describe_error(error)}); "
                "choose another format at the sender"
            ) from None
        damaged, self._damaged = self._damaged or frame.is_corrupt, False
        driver_ns = self._driver_ns(frame, arrived_ns)
        return Grab(
            number=number,
            screen=screen,
            t_capture_ns=self._arrivals.pop(frame.pts, arrived_ns) if driver_ns is None else driver_ns,
            t_decoded_ns=time.monotonic_ns(),
            stamp="arrival" if driver_ns is None else "driver",
            pts=frame.pts,
            time_base=frame.time_base if frame.pts is not None else None,
            damaged=damaged,
            damage_reason=damage_reason,
        )

    def _driver_ns(self, frame: av.VideoFrame, arrived_ns: int) -> int | None:
        """The driver's timestamp, where it is on the monotonic clock."""
        if not self._hooks.driver_stamps or frame.pts is None or frame.time_base is None:
            return None
        stamp_ns = int(frame.pts * frame.time_base * 1_000_000_000)
        return stamp_ns if 0 <= arrived_ns - stamp_ns < _MAX_AGE_NS else None

    def _pick_stream(self) -> av.VideoStream:
        for stream in self._container.streams.video:
            if stream.codec_context is not None:
                return stream
        raise SourceError(f"{self._scheme}: no video that can be decoded arrives; check what the sender sends")

    def _stated_rate_hz(self) -> float | None:
        for rate in (self._stream.average_rate, self._stream.guessed_rate):
            if rate and _MIN_RATE_HZ <= rate <= _MAX_RATE_HZ:
                return float(rate)
        return None


class Backlog:
    """Decides for each frame whether newer ones were already queued when it was read.

    A caller that did not read for n periods has about n frames queued in a buffer: all but the last of them are old, as
    long as they can be read without waiting. A short stall of the machine should skip none, though: while no more
    frames are queued than :class:`usassist.common.fresh_queue.FreshQueue` would hold, and there was no other stall in
    the two seconds before, none is old.

    Parameters
    ----------
    rate_hz : nominal rate; None where it is unknown
    """

    def __init__(self, rate_hz: float | None) -> None:
        self._period_ns = 1e9 / (rate_hz or _DEFAULT_RATE_HZ)
        self._old = 0
        self._away_ns: int | None = None

    def away(self, duration_ns: int, now_ns: int) -> None:
        """Record that nothing was read for this long until now, ns."""
        periods = int(duration_ns / self._period_ns)
        if periods <= 1:
            return
        is_new = self._away_ns is None or now_ns - self._away_ns > STALL_COOLDOWN_NS
        self._away_ns = now_ns
        if not is_new or periods > FRESH_QUEUE_SIZE:
            self._old += periods - 1

    def is_old(self, waited_ns: int) -> bool:
        """True when newer frames were queued behind this one, so that it is to be skipped.

        Parameters
        ----------
        waited_ns : how long the read took
        """
        if not self._old:
            return False
        if waited_ns > _WAITED_NS:
            self._old = 0
            return False
        self._old -= 1
        return True


def describe_error(error: BaseException) -> str:
    """FFmpeg's error message without address or path."""
    return str(getattr(error, "strerror", None) or error).split(":")[0].split("'")[0].strip()
