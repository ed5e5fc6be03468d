"""The main loop of the fault player: sends the scanner's frames over a transport in real time, and logs events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from usassist.errors import SourceError
from usassist.phantom.config import rng_of
from usassist.phantom.encoder import ScreenEncoder, damage
from usassist.phantom.fault_scanner import FaultFrame, FaultScanner
from usassist.phantom.transport import Transport

__all__ = ["EventSink", "FaultPlayer", "PlayerReport"]

EventSink = Callable[[dict[str, Any]], None]

_MAX_LATE_S = 0.25  # when later than this, frames are skipped
_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerReport:
    """Statistics of a finished run.

    Attributes
    ----------
    frames : frames sent
    skipped : frames skipped because the machine was too slow
    megabytes : data sent
    seconds : from the first frame to the end
    cpu_ms_per_frame : processor time of this process in the loop, per frame sent
    readers_lost : readers that disconnected or timed out
    faults : begin and end events of the faults, as in the log
    missed : indices in the plan of faults that were due, but of which no frame was sent
    """

    frames: int
    skipped: int
    megabytes: float
    seconds: float
    cpu_ms_per_frame: float
    readers_lost: int
    faults: tuple[dict[str, Any], ...]
    missed: tuple[int, ...]


class FaultPlayer:
    """Plays one scanner over one transport, once.

    Parameters
    ----------
    scanner : source of the frames
    transport : where they are sent
    codec : see ``usassist.phantom.encoder.CODECS``; None = the default of the transport's container
    log : called with each event
    once : a reader that disconnects is an error
    report : called with a line of text when the player waits or a reader disconnects
    """

    def __init__(
        self,
        scanner: FaultScanner,
        transport: Transport,
        codec: str | None,
        log: EventSink,
        *,
        once: bool,
        report: Callable[[str], None],
    ) -> None:
        self._scanner, self._transport, self._codec = scanner, transport, codec
        self._log, self._once, self._report = log, once, report
        self._rate_hz = scanner.config.rate_hz
        self._encoder: ScreenEncoder | None = None
        self._stream_key: tuple[int, int, int] | None = None
        self._active: tuple[int, ...] = ()
        self._faults: list[dict[str, Any]] = []
        self._frames = self._skipped = self._bytes = self._readers_lost = 0
        self._closed = False

    def play(self, stop: threading.Event, seconds: float | None) -> PlayerReport:
        """Play until `stop`, or for `seconds`.

        Raises
        ------
        SourceError
            If the transport fails, or with `once` when the reader has disconnected.
        """
        config = self._scanner.config
        self._log(
            {
                "event": "open",
                "t_ns": time.monotonic_ns(),
                "rate_hz": self._rate_hz,
                "seed": config.seed,
                "screen_hw_px": config.screen_hw_px,
                "scan_xyxy_px": self._scanner.scan_xyxy_px,
                "faults": [fault.as_dict() for fault in self._scanner.plan.faults],
            }
        )
        self._wait_for_reader(stop)
        start_ns, start_cpu_s, number = time.monotonic_ns(), time.process_time(), 0
        self._log({"event": "start", "t_ns": start_ns})
        period_ns = 1e9 / self._rate_hz
        while not stop.is_set() and (seconds is None or number < seconds * self._rate_hz - 1e-6):
            frame = self._scanner.at(number)
            data = self._encode(frame)
            due_ns = start_ns + round(number * period_ns)
            if stop.wait(max(due_ns - time.monotonic_ns(), 0) / 1e9):
                break
            self._send(frame, data)
            number += 1
            late_ns = time.monotonic_ns() - start_ns - number * period_ns
            if late_ns > _MAX_LATE_S * 1e9:
                number += int(late_ns / period_ns)
                self._skipped += int(late_ns / period_ns)
        end_ns = time.monotonic_ns()
        self._log({"event": "stop", "t_ns": end_ns, "frame": number, "skipped": self._skipped})
        begun = {entry["fault"] for entry in self._faults}
        due = {i for i, fault in enumerate(self._scanner.plan.faults) if fault.numbers(self._rate_hz).start < number}
        cpu_s = time.process_time() - start_cpu_s
        return PlayerReport(
            frames=self._frames,
            skipped=self._skipped,
            megabytes=round(self._bytes / 1e6, 3),
            seconds=round((end_ns - start_ns) / 1e9, 3),
            cpu_ms_per_frame=round(1e3 * cpu_s / max(self._frames, 1), 2),
            readers_lost=self._readers_lost,
            faults=tuple(self._faults),
            missed=tuple(sorted(due - begun)),
        )

    def _wait_for_reader(self, stop: threading.Event) -> None:
        self._transport.poll()
        if not self._transport.has_reader:
            self._report("waiting for a reader; the time of the faults starts when it connects")
        while not self._transport.has_reader and not stop.wait(_POLL_S):
            self._transport.poll()

    def _encode(self, frame: FaultFrame) -> bytes:
        """Encode a frame; a new stream starts for a new reader and for a new screen size."""
        if frame.screen is None or not self._transport.has_reader:
            return b""
        height, width = frame.screen.shape[:2]
        if self._stream_key is not None and self._stream_key[1:] != (height, width):
            self._transport.restart_stream()
            self._stream_key = None
            self._transport.poll()
            if not self._transport.has_reader:
                return b""
        stream_key = (self._transport.generation, height, width)
        if self._encoder is None or self._stream_key != stream_key:
            self._encoder = ScreenEncoder(self._transport.container, self._codec, (height, width), self._rate_hz)
            self._stream_key = stream_key
        data = self._encoder.encode(frame.screen, frame.number)
        if frame.corrupt_share > 0.0:
            data = damage(data, frame.corrupt_share, rng_of(self._scanner.config.seed, frame.number, 0xBAD))
        return data

    def _send(self, frame: FaultFrame, data: bytes) -> None:
        if frame.closed and not self._closed:
            self._transport.disconnect()
        elif self._closed and not frame.closed:
            self._transport.accept_again()
        self._closed = frame.closed
        before = self._transport.generation
        self._transport.poll()
        if self._transport.generation != before:
            self._log({"event": "reader", "t_ns": time.monotonic_ns(), "frame": frame.number})
            data = self._encode(frame)
        if data:
            self._transport.send(data, frame.t_s)
            self._frames += 1
            self._bytes += len(data)
        self._log_faults(frame)
        if self._transport.readers_lost > self._readers_lost:
            self._readers_lost = self._transport.readers_lost
            self._log({"event": "reader_left", "t_ns": time.monotonic_ns(), "frame": frame.number})
            if self._once:
                raise SourceError("the reader disconnected; start it again, or omit --once to wait for the next one")
            self._report("a reader disconnected; waiting for the next one")

    def _log_faults(self, frame: FaultFrame) -> None:
        """Log which faults have begun and ended. Frames that a lower frame rate skips do not count."""
        kinds = [self._scanner.plan.faults[place].kind for place in frame.active]
        if frame.active == self._active or (frame.screen is None and "unplug" not in kinds):
            return
        t_ns = time.monotonic_ns()
        for place in sorted({*frame.active} ^ {*self._active}):
            fault = self._scanner.plan.faults[place]
            begins = place in frame.active
            entry: dict[str, Any] = {
                "event": "begin" if begins else "end",
                "t_ns": t_ns,
                "frame": frame.number,
                "fault": place,
                "kind": fault.kind,
                "settings": dict(fault.settings),
                "scan_xyxy_px": frame.scan_xyxy_px,
                "has_reader": self._transport.has_reader,
            }
            self._faults.append(entry)
            self._log(entry)
        self._active = frame.active
