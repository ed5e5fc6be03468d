"""How well the signal watch works: every fault on the simulated scanner, and real clips for false alarms.

``python -m tools.signal_watch_report`` prints both; clips with a data folder only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer

from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area
from usassist.phantom.fault_scanner import FaultScanner
from usassist.phantom.faults import FaultPlan
from usassist.records import SignalState
from usassist.sources.cropping import cut_plain
from usassist.sources.decoding import VideoPass
from usassist.sources.grab import Grab
from usassist.sources.screen import Screen
from usassist.sources.watch import ClipWatch, SignalVerdict, SignalWatch

__all__ = ["EXPECTED", "ClipRow", "FaultRow", "clip_row", "fault_rows", "play"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]
Timed = tuple[float, SignalVerdict]

# kind of fault → expected state; every other kind must leave the signal live
EXPECTED = {
    "freeze": SignalState.FROZEN,
    "repeat": SignalState.FROZEN,
    "depth": SignalState.CHANGED,
    "zoom": SignalState.CHANGED,
    "layout": SignalState.CHANGED,
    "resolution": SignalState.CHANGED,
    "dual": SignalState.NOT_B_MODE,
    "colour_box": SignalState.NOT_B_MODE,
    "menu": SignalState.NOT_B_MODE,
    "unplug": SignalState.LOST,
    "black": SignalState.LOST,
    "noise": SignalState.LOST,
    "no_signal": SignalState.LOST,
}
_FOLDERS = ("ultrasound_clips_lung", "ultrasound_clips_itkpocus")
_SUFFIXES = {".mp4", ".mov", ".mpeg", ".mpg", ".avi"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """One fault of a plan.

    Attributes
    ----------
    kind : of the fault
    settings : of the fault, in words
    rate_hz : of the scanner
    expected : state
    detected_s : from its beginning to the expected state; None where it never came, or the signal must stay live
    recovered_s : from its end to the state live; None where it never came
    false_states : other states than the expected one and live, while it lasted
    """

    kind: str
    settings: str
    rate_hz: float
    expected: SignalState
    detected_s: float | None
    recovered_s: float | None
    false_states: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """One clip of normal scanning.

    Attributes
    ----------
    folder, name : of the clip
    seconds : how long it is
    alarms : state other than live → how often it began, played as a live signal
    frames, refused : how many frames, and how many of them get no answer when it is replayed as a recording
    look_p50_ms, look_p99_ms : time per frame on this machine
    """

    folder: str
    name: str
    seconds: float
    alarms: dict[str, int]
    frames: int
    refused: int
    look_p50_ms: float
    look_p99_ms: float


def fault_rows(scanner: FaultScanner) -> list[FaultRow]:
    """Play a plan through a watch, with `silence` called at every period without a frame."""
    rate_hz = scanner.config.rate_hz
    watch, verdicts, settled = SignalWatch(), list[Timed](), False
    for frame in scanner.frames(scanner.plan.end_s + 2.0):
        t_ns = round(frame.t_s * 1e9)
        if frame.screen is None:
            verdicts.append((frame.t_s, watch.judge_silence(t_ns)))
            continue
        if not settled:
            watch.set_reference(Screen(frame.screen), scanner.scan_xyxy_px, t_ns)
            settled = True
        verdicts.append((frame.t_s, watch.judge(_grab(frame.number, frame.screen, t_ns))))
    rows = []
    starts = [fault.at_s for fault in scanner.plan.faults] + [scanner.plan.end_s + 2.0]
    for fault, following_s in zip(scanner.plan.faults, starts[1:], strict=True):
        expected = EXPECTED.get(fault.kind, SignalState.LIVE)
        until_s = fault.until_s
        during = [
            (t_s, verdict.state) for t_s, verdict in verdicts if fault.at_s <= t_s < max(until_s, fault.at_s + 0.5)
        ]
        after = [(t_s, verdict.state) for t_s, verdict in verdicts if until_s <= t_s < following_s]
        hit = None
        if expected is not SignalState.LIVE:
            hit = next((t_s - fault.at_s for t_s, state in during if state is expected), None)
        rows.append(
            FaultRow(
                kind=fault.kind,
                settings=" ".join(f"{key}={value}" for key, value in fault.settings.items()),
                rate_hz=rate_hz,
                expected=expected,
                detected_s=hit,
                recovered_s=next((t_s - until_s for t_s, state in after if state is SignalState.LIVE), None),
                false_states=tuple(sorted({str(s) for _, s in during if s not in (expected, SignalState.LIVE)})),
            )
        )
    return rows


def play(screens: Iterable[UInt8Array], roi_xyxy_px: Roi, rate_hz: float) -> tuple[list[Timed], list[float]]:
    """Play screens through a watch that is settled on the first; verdicts, and the time of each, ms."""
    watch, verdicts, times_ms = SignalWatch(), list[Timed](), list[float]()
    for number, screen in enumerate(screens):
        t_ns = round(number * 1e9 / rate_hz)
        if number == 0:
            watch.set_reference(Screen(screen), roi_xyxy_px, t_ns)
            continue
        begin = time.perf_counter()
        verdict = watch.judge(_grab(number, screen, t_ns))
        times_ms.append(1e3 * (time.perf_counter() - begin))
        verdicts.append((t_ns / 1e9, verdict))
    return verdicts, times_ms


def clip_row(path: Path) -> ClipRow | None:
    """Play a clip; None where no scan area is found on it."""
    with VideoPass(path) as clip:
        rate_hz = clip.rate_hz or 25.0
        screens = [clip.image(frame) for frame in clip.frames()]
    try:
        roi = find_scan_area(screens).xyxy_px
    except ScanAreaError:
        return None
    verdicts, times_ms = play(screens, roi, rate_hz)
    states = [SignalState.LIVE] + [verdict.state for _, verdict in verdicts]
    begun = [now for before, now in pairwise(states) if now is not before]
    return ClipRow(
        folder=path.parent.name,
        name=path.name,
        seconds=len(screens) / rate_hz,
        frames=len(screens),
        refused=_refused(screens, roi, rate_hz),
        alarms={str(state): begun.count(state) for state in set(begun) - {SignalState.LIVE}},
        look_p50_ms=float(np.percentile(times_ms, 50)),
        look_p99_ms=float(np.percentile(times_ms, 99)),
    )


def _refused(screens: Sequence[UInt8Array], roi_xyxy_px: Roi, rate_hz: float) -> int:
    watch = ClipWatch()
    states = [
        watch.judge(cut_plain(screen, roi_xyxy_px), round(number * 1e9 / rate_hz))[0]
        for number, screen in enumerate(screens)
    ]
    return len(states) - states.count(SignalState.LIVE)


def _grab(number: int, screen: UInt8Array, t_ns: int) -> Grab:
    return Grab(number=number, screen=Screen(screen), t_capture_ns=t_ns, t_decoded_ns=t_ns, stamp="arrival")


def _print_faults(rates_hz: Sequence[float], screen_hw_px: tuple[int, int]) -> None:
    plan = FaultPlan.all_kinds(for_s=2.0, gap_s=3.0)
    for rate_hz in rates_hz:
        for row in fault_rows(FaultScanner(plan, rate_hz=rate_hz, screen_hw_px=screen_hw_px, loop_s=2.0)):
            detected = "" if row.detected_s is None else f"{row.detected_s:.3f} s"
            recovered = "never" if row.recovered_s is None else f"{row.recovered_s:.3f} s"
            typer.echo(
                f"{row.rate_hz:3.0f} Hz  {row.kind:12} {row.settings:32} {row.expected:10} detected {detected:9} "
                f"recovered {recovered:9} {' '.join(row.false_states)}"
            )


def _print_clips(data: Path) -> None:
    for folder in _FOLDERS:
        rows = [
            row
            for path in sorted((data / folder).rglob("*"))
            if path.suffix in _SUFFIXES and (row := clip_row(path)) is not None
        ]
        minutes = sum(row.seconds for row in rows) / 60.0
        counts = {state: sum(row.alarms.get(state, 0) for row in rows) for state in SignalState if state != "live"}
        typer.echo(f"{folder}: {len(rows)} clips, {minutes:.1f} min; alarms {counts}")
        frames, refused = sum(row.frames for row in rows), sum(row.refused for row in rows)
        typer.echo(f"  as recordings: {refused} of {frames} frames without an answer")
        for row in rows:
            if row.alarms or row.refused:
                typer.echo(f"  {row.name}: {row.alarms}, {row.refused} of {row.frames} frames")


def main(data: Path | None = None, rate_hz: list[float] | None = None, small: bool = False) -> None:
    """Print detection times of every fault, and false alarms on clips of normal scanning."""
    _print_faults(rate_hz or [15.0, 30.0, 60.0], (480, 640) if small else (720, 1280))
    if data is not None:
        _print_clips(data)


if __name__ == "__main__":
    typer.run(main)
