"""The loop of the fault player: from the scanner to a wire, in time, with a log of what went out when."""

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
from usassist.phantom.wire import Wire

__all__ = ["Log", "Player", "Served"]

Log = Callable[[dict[str, Any]], None]

_LATE_S = 0.25  # further behind than this, frames are left out
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What was played.

    Attributes
    ----------
    frames : handed to the socket
    skipped : left out because the machine was too slow
    megabytes : handed to the socket
    seconds : from the first frame to the end
    cpu_ms_per_frame : time of this process's processors in the loop, for each frame sent
    readers_lost : readers that went away or took nothing
    faults : begun and ended, as in the log, with their times
    missed : places in the plan of faults that ought to have come, but of which no frame was sent
    """

    frames: int
    skipped: int
    megabytes: float
    seconds: float
    cpu_ms_per_frame: float
    readers_lost: int
    faults: tuple[dict[str, Any], ...]
    missed: tuple[int, ...]


class Player:
    """Plays one scanner over one wire, once.

    Parameters
    ----------
    scanner : what is shown
    wire : where it goes
    codec : see ``usassist.phantom.encoder.CODECS``; None takes the default of the wire's container
    log : is given each line of the truth
    once : a reader that goes away is an error
    say : is given one line for a person when the player waits, or a reader goes
    """

    def __init__(
        self, scanner: FaultScanner, wire: Wire, codec: str | None, log: Log, *, once: bool, say: Callable[[str], None]
    ) -> None:
        self._scanner, self._wire, self._codec = scanner, wire, codec
        self._log, self._once, self._say = log, once, say
        self._rate_hz = scanner.config.rate_hz
        self._encoder: ScreenEncoder | None = None
        self._encoded_for: tuple[int, int, int] | None = None
        self._going_on: tuple[int, ...] = ()
        self._faults: list[dict[str, Any]] = []
        self._frames = self._skipped = self._bytes = self._left = 0
        self._closed = False

    def play(self, stop: threading.Event, seconds: float | None) -> Served:
        """Play until `stop`, or for `seconds`.

        Raises
        ------
        SourceError
            If the wire breaks, or with `once` when the reader has gone.
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
            self._hand_over(frame, data)
            number += 1
            late_ns = time.monotonic_ns() - start_ns - number * period_ns
            if late_ns > _LATE_S * 1e9:
                number += int(late_ns / period_ns)
                self._skipped += int(late_ns / period_ns)
        end_ns = time.monotonic_ns()
        self._log({"event": "stop", "t_ns": end_ns, "frame": number, "skipped": self._skipped})
        begun = {entry["fault"] for entry in self._faults}
        due = {i for i, fault in enumerate(self._scanner.plan.faults) if fault.numbers(self._rate_hz).start < number}
        cpu_s = time.process_time() - start_cpu_s
        return Served(
            frames=self._frames,
            skipped=self._skipped,
            megabytes=round(self._bytes / 1e6, 3),
            seconds=round((end_ns - start_ns) / 1e9, 3),
            cpu_ms_per_frame=round(1e3 * cpu_s / max(self._frames, 1), 2),
            readers_lost=self._left,
            faults=tuple(self._faults),
            missed=tuple(sorted(due - begun)),
        )

    def _wait_for_reader(self, stop: threading.Event) -> None:
        self._wire.poll()
        if not self._wire.has_reader:
            self._say("waiting for a reader; the time of the faults begins with it")
        while not self._wire.has_reader and not stop.wait(_LOOK_S):
            self._wire.poll()

    def _encode(self, frame: FaultFrame) -> bytes:
        """The bytes of a frame; a new stream begins with a new reader and with another size of the screen."""
        if frame.screen is None or not self._wire.has_reader:
            return b""
        height, width = frame.screen.shape[:2]
        if self._encoded_for is not None and self._encoded_for[1:] != (height, width):
            self._wire.restart()
            self._encoded_for = None
            self._wire.poll()
            if not self._wire.has_reader:
                return b""
        wanted = (self._wire.generation, height, width)
        if self._encoder is None or self._encoded_for != wanted:
            self._encoder = ScreenEncoder(self._wire.container, self._codec, (height, width), self._rate_hz)
            self._encoded_for = wanted
        data = self._encoder.encode(frame.screen, frame.number)
        if frame.corrupt_share > 0.0:
            data = damage(data, frame.corrupt_share, rng_of(self._scanner.config.seed, frame.number, 0xBAD))
        return data

    def _hand_over(self, frame: FaultFrame, data: bytes) -> None:
        if frame.closed and not self._closed:
            self._wire.hang_up()
        elif self._closed and not frame.closed:
            self._wire.come_back()
        self._closed = frame.closed
        before = self._wire.generation
        self._wire.poll()
        if self._wire.generation != before:
            self._log({"event": "reader", "t_ns": time.monotonic_ns(), "frame": frame.number})
            data = self._encode(frame)
        if data:
            self._wire.send(data, frame.t_s)
            self._frames += 1
            self._bytes += len(data)
        self._note(frame)
        if self._wire.left > self._left:
            self._left = self._wire.left
            self._log({"event": "reader_left", "t_ns": time.monotonic_ns(), "frame": frame.number})
            if self._once:
                raise SourceError("the reader has gone; start it again, or leave out --once to wait for the next one")
            self._say("a reader has gone; the next one is served when it comes")

    def _note(self, frame: FaultFrame) -> None:
        """Log which faults have begun and which are over. A frame that is left out for its rate shows neither."""
        kinds = [self._scanner.plan.faults[place].kind for place in frame.active]
        if frame.active == self._going_on or (frame.screen is None and "unplug" not in kinds):
            return
        t_ns = time.monotonic_ns()
        for place in sorted({*frame.active} ^ {*self._going_on}):
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
                "has_reader": self._wire.has_reader,
            }
            self._faults.append(entry)
            self._log(entry)
        self._going_on = frame.active
