"""Measure how long a picture takes from a screen into a captured frame, with a code that says when it was drawn.

Both ends read the same clock, so the delay of a frame is its capture time less the time in its code. A window shows a
code for one period, and which moment of that a frame shows is not known: half a period is subtracted, and uniform
distributions over it, over the period of the frames (their stamp is one moment of their capture) and over the refresh
of the screen are the uncertainty. A stream of pictures has one code in each, and only the steps of 1 ms are left.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tomlkit

from usassist.app.runtime.calibration_file import check_new
from usassist.app.runtime.time_code_output import show_codes
from usassist.common.clock import Clock, MonotonicClock
from usassist.common.private_files import write_atomic
from usassist.config import has_display
from usassist.errors import CalibrationError, UsageError
from usassist.frames.time_code import CodeReader, elapsed_ms
from usassist.sources.capture.opener import ProcessOpener
from usassist.sources.grab import Opener
from usassist.sources.grab_supervisor import GrabSupervisor
from usassist.sources.inputs.address import GrabOptions, is_live

__all__ = [
    "LEAST_FRAMES",
    "CodeSeen",
    "MeasuredLatency",
    "evaluate_codes",
    "read_codes",
    "read_codes_of_window",
    "write_latency",
]

LEAST_FRAMES = 100
"""Fewer frames with a code than this are no distribution."""

_LEAST_READ = 0.5  # share of the frames in which the code has to be read
_MEDIAN = 1.2533  # standard error of a median over that of a mean, of normal scatter
_STEP_MS = 1.0  # of a code
_WAIT_S = 0.05
_REMEDY = "let the whole code be seen, large and undistorted, in what the source delivers"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSeen:
    """What one captured frame says.

    Attributes
    ----------
    code_ms : time in its code, ms modulo 2**32; None where none can be read
    t_capture_ns, t_decoded_ns, stamp : as in :class:`usassist.sources.grab.Grab`
    """

    code_ms: int | None
    t_capture_ns: int
    t_decoded_ns: int
    stamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLatency:
    """From a drawn code to its capture.

    Attributes
    ----------
    frames, unread : with a code that was read, and without
    code_rate_hz, frame_rate_hz : of the codes, and of the captured frames
    refresh_hz : of the screen that showed the code; None of a stream of pictures
    stamp : origin of the capture times, ``driver`` or ``arrival``
    p50_ms, p95_ms, max_ms, sd_ms : of the frames
    uncertainty_ms : standard uncertainty of the median; the others are no more certain
    decoded_p50_ms : until the pixels were decoded
    """

    frames: int
    unread: int
    code_rate_hz: float
    frame_rate_hz: float
    refresh_hz: float | None
    stamp: str
    p50_ms: float
    p95_ms: float
    max_ms: float
    sd_ms: float
    uncertainty_ms: float
    decoded_p50_ms: float


def read_codes(
    address: str, seconds: float, clock: Clock | None = None, opener: Opener | None = None
) -> list[CodeSeen]:
    """Read the code on every screen that a live source delivers, from its first one on.

    Parameters
    ----------
    address : of a live source
    seconds : from the first screen on; as long is waited for that one
    clock, opener : for tests

    Raises
    ------
    UsageError
        If the address is not one of a live source.
    CalibrationError
        If no screen arrives.
    """
    return list(_codes(address, seconds, clock or MonotonicClock(), opener, threading.Event()))


def read_codes_of_window(
    address: str, seconds: float, *, rate_hz: float, at_xy_px: tuple[int, int] | None, size_hw_px: tuple[int, int]
) -> list[CodeSeen]:
    """Show the code in a window, and read it on the screens of a live source meanwhile.

    Parameters
    ----------
    address : of a live source that sees the window
    seconds : as :func:`read_codes`
    rate_hz : of the codes; at most the refresh of the screen
    at_xy_px : where the window is placed, and fills that screen; None = an ordinary window
    size_hw_px : of the picture

    Raises
    ------
    UsageError
        If there is no display.
    CalibrationError
        If no screen arrives.
    """
    if not has_display():
        raise UsageError("this machine has no display for a window; show the code elsewhere, and give --no-window")
    failures: list[BaseException] = []
    seen: list[CodeSeen] = []
    ended, stop = threading.Event(), threading.Event()

    def collect() -> None:
        try:
            seen.extend(_codes(address, seconds, MonotonicClock(), None, stop))
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=collect, name="latency-grab", daemon=True)
    thread.start()
    try:
        show_codes(ended, rate_hz, at_xy_px, size_hw_px)
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
    return seen


def evaluate_codes(seen: Iterable[CodeSeen], *, code_rate_hz: float, refresh_hz: float | None) -> MeasuredLatency:
    """The distribution of the delay, from screens that show codes.

    Parameters
    ----------
    seen : in their order
    code_rate_hz : of the codes
    refresh_hz : of the screen that showed them; None where the codes are a stream of pictures

    Raises
    ------
    CalibrationError
        If too few codes can be read, or they were drawn by another clock.
    """
    period_ms = _STEP_MS if refresh_hz is None else 1e3 / code_rate_hz  # for which a code stands
    delays: list[float] = []
    decoded: list[float] = []
    times_ns: list[int] = []
    unread, stamps = 0, set()
    for frame in seen:
        times_ns.append(frame.t_capture_ns)
        if frame.code_ms is None:
            unread += 1
            continue
        delay_ms = elapsed_ms(frame.code_ms, frame.t_capture_ns / 1e6) - period_ms / 2
        delays.append(delay_ms)
        decoded.append(delay_ms + (frame.t_decoded_ns - frame.t_capture_ns) / 1e6)
        stamps.add(frame.stamp)
    if len(delays) < LEAST_FRAMES:
        raise CalibrationError(
            f"the code was read on {len(delays)} of {len(delays) + unread} frames, {LEAST_FRAMES} are needed; {_REMEDY}"
        )
    if len(delays) < _LEAST_READ * (len(delays) + unread):
        raise CalibrationError(f"the code was not read on {unread} of {len(delays) + unread} frames; {_REMEDY}")
    frame_rate_hz = (len(times_ns) - 1) / max(1e-9, (times_ns[-1] - times_ns[0]) / 1e9)
    frame_ms = 1e3 / frame_rate_hz
    if min(delays) < -(period_ms + frame_ms):
        raise CalibrationError(
            f"a frame was captured {-min(delays):.0f} ms before its code was drawn, by another clock; "
            "draw the code on this machine"
        )
    p50_ms, p95_ms, max_ms = np.percentile(delays, (50, 95, 100))
    spans_ms = (period_ms,) if refresh_hz is None else (period_ms, frame_ms, 1e3 / refresh_hz)
    uniform = math.hypot(*spans_ms) / math.sqrt(12.0)
    sd_ms = float(np.std(delays))
    return MeasuredLatency(
        frames=len(delays),
        unread=unread,
        code_rate_hz=code_rate_hz,
        frame_rate_hz=frame_rate_hz,
        refresh_hz=refresh_hz,
        stamp=" and ".join(sorted(stamps)),
        p50_ms=float(p50_ms),
        p95_ms=float(p95_ms),
        max_ms=float(max_ms),
        sd_ms=sd_ms,
        uncertainty_ms=math.hypot(uniform, _MEDIAN * sd_ms / math.sqrt(len(delays))),
        decoded_p50_ms=float(np.percentile(decoded, 50)),
    )


def write_latency(measured: MeasuredLatency, out: Path, *, valid_for: str) -> None:
    """Write a new latency file; see :mod:`usassist.calibrate.latency`.

    Raises
    ------
    UsageError
        If it exists, or its name does not end in .toml.
    """
    check_new(out, "latency")
    shown = "a stream of pictures" if measured.refresh_hz is None else f"a window at {measured.refresh_hz:g} Hz"
    document = tomlkit.document()
    for key, value in {
        "schema": 1,
        "calibration_id": out.stem,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "measured_by": "engineer",
        "method": f"time code in {shown}, {measured.code_rate_hz:g} codes a second, captured again",
        "valid_for": valid_for,
        "frames": measured.frames,
        "unread": measured.unread,
        "code_rate_hz": measured.code_rate_hz,
        "frame_rate_hz": round(measured.frame_rate_hz, 3),
        "stamp": measured.stamp,
        "latency_p50_ms": round(measured.p50_ms, 2),
        "latency_p95_ms": round(measured.p95_ms, 2),
        "latency_max_ms": round(measured.max_ms, 2),
        "uncertainty_ms": round(measured.uncertainty_ms, 2),
        "residual": f"single frames scatter by {measured.sd_ms:.2f} ms",
    }.items():
        document[key] = value
    write_atomic(out, tomlkit.dumps(document).encode("utf-8"))


def _codes(
    address: str, seconds: float, clock: Clock, opener: Opener | None, stop: threading.Event
) -> Iterator[CodeSeen]:
    if opener is None and not is_live(address):
        raise UsageError(f"{address} is no live source; give one of docs/sources.md, such as v4l2:/dev/video0")
    opener = opener or ProcessOpener(address, GrabOptions())
    supervisor, reader = GrabSupervisor(opener, clock), CodeReader()
    until_ns, first = clock.now_ns() + round(seconds * 1e9), True
    try:
        while clock.now_ns() < until_ns and not stop.is_set():
            supervisor.supervise()
            grab, _ = supervisor.take(_WAIT_S)
            if grab is None:
                continue
            if first:
                until_ns, first = clock.now_ns() + round(seconds * 1e9), False
            yield CodeSeen(
                code_ms=None if grab.damaged else reader.read(grab.screen.grey()),
                t_capture_ns=grab.t_capture_ns,
                t_decoded_ns=grab.t_decoded_ns,
                stamp=grab.stamp,
            )
        problem = supervisor.problem
    finally:
        supervisor.close()
    if first and not stop.is_set():
        raise CalibrationError(f"no frame came from the source: {problem or 'nothing arrives'}; check the address")
