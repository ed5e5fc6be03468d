"""``usassist bench faults``: how soon a live source detects a fault, and how soon it recovers.

The simulated scanner plays every fault in turn from a process of its own, over a real socket, into the live source that
``usassist live`` uses. Both processes share the machine's monotonic clock: a fault begins when the first frame with it
is written to the socket, and it is detected when the source's signal changes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from usassist.common.clock import MonotonicClock
from usassist.errors import UsAssistError
from usassist.phantom.fault_scanner import FaultScanner
from usassist.phantom.faults import Fault, FaultPlan
from usassist.records import SignalState
from usassist.sources import SourceOptions
from usassist.sources.grab import Grab
from usassist.sources.live import open_live
from usassist.sources.screen import Screen
from usassist.sources.watch import SignalWatch

__all__ = ["EXPECTED", "FaultRow", "NormalReport", "measure_faults", "one_after_the_other", "watch_normal_scanning"]

_LIVE, _FROZEN, _LOST = SignalState.LIVE, SignalState.FROZEN, SignalState.LOST
_CHANGED, _NOT_B_MODE = SignalState.CHANGED, SignalState.NOT_B_MODE
# kind → states that are correct; the first is expected
EXPECTED: dict[str, tuple[SignalState, ...]] = {
    "freeze": (_FROZEN,),
    "paused_probe": (_LIVE,),
    "depth": (_CHANGED,),
    "zoom": (_CHANGED,),
    "layout": (_CHANGED,),
    "dual": (_NOT_B_MODE, _CHANGED),
    "resolution": (_CHANGED,),
    "colour_box": (_NOT_B_MODE,),
    "menu": (_NOT_B_MODE,),
    "unplug": (_LOST,),
    "black": (_LOST,),
    "noise": (_LOST, _NOT_B_MODE),
    "no_signal": (_LOST, _NOT_B_MODE),
    "repeat": (_FROZEN,),
    "frame_rate": (_LIVE,),
    "corrupt": (_LIVE, _LOST, SignalState.DAMAGED),  # whether a frame is damaged is chance
    "glitch": (_LIVE,),
}
_SAMPLE_S = 0.005
_TAIL_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """How one fault was detected.

    Attributes
    ----------
    kind, settings : of the fault
    expected : state
    said : every state while it lasted, in order
    detected_s : from its beginning to the first expected state; None where it never came, or the signal stays live
    recovered_s : from its end to the first live frame that no other state followed before the next fault
    wrong : states that are not correct, from its beginning until the next fault
    """

    kind: str
    settings: dict[str, Any]
    expected: str
    said: tuple[str, ...]
    detected_s: float | None
    recovered_s: float | None
    wrong: tuple[str, ...]

    @property
    def noticed(self) -> bool:
        """True when it was detected, or, where the signal has to stay live, when no wrong state came."""
        return not self.wrong if self.expected == _LIVE else self.detected_s is not None


@dataclass(slots=True)
class _Observed:
    """States and live frames of the source, with their times."""

    states: list[tuple[int, SignalState, str]] = field(default_factory=list)
    live_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalReport:
    """False alarms of the watch on normal scanning.

    Attributes
    ----------
    minutes : of simulated scanning
    alarms : state → how often it came
    """

    minutes: float
    alarms: dict[str, int]


def one_after_the_other(faults: Iterable[Fault], *, gap_s: float) -> FaultPlan:
    """The same faults with normal scanning of `gap_s` before, between and after them."""
    at_s, placed = gap_s, []
    for fault in faults:
        placed.append(dataclasses.replace(fault, at_s=at_s))
        at_s += (fault.for_s or 0.0) + gap_s
    return FaultPlan(faults=tuple(placed))


def measure_faults(
    plan: FaultPlan, transport: str, folder: Path, *, log: Callable[[str], None] = lambda line: None
) -> list[FaultRow]:
    """Play a plan over a transport, and measure.

    Parameters
    ----------
    plan : faults one after the other, with normal scanning before, between and after
    transport : ``udp``, ``tcp``, ``rtsp`` or ``fifo``
    folder : empty and private; script and log of the player are kept in it
    log : called with what is being done

    Raises
    ------
    UsAssistError
        If the player does not start, or no live frame comes.
    """
    script, truth = folder / "faults.toml", folder / "truth.jsonl"
    script.write_text(_toml(plan), encoding="utf-8")
    to, address = _addresses(transport, folder)
    seconds = plan.end_s + _TAIL_S
    command = [sys.executable, "-m", "usassist", "phantom", "serve", "--to", to, "--faults", str(script)]
    command += ["--log", str(truth), "--seconds", f"{seconds:g}"]
    log(f"playing {len(plan.faults)} faults over {transport}, {seconds:.0f} s after the sweep is rendered")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as player:
        try:
            observed = _listen(address, player)
        finally:
            player.terminate()
            _, stderr = player.communicate()
    entries = [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()] if truth.exists() else []
    if not observed.live_ns or not entries:
        last = stderr.strip().splitlines()[-1:] or ["it printed no error"]
        raise UsAssistError(f"the fault player delivered no live frame over {transport}: {last[0]}")
    times = [_times(place, entries) for place in range(len(plan.faults))]
    until_ns = [*(begin_ns for begin_ns, _ in times[1:]), entries[-1]["t_ns"]]
    return [
        _row(fault, begin_ns, end_ns, limit_ns, observed)
        for fault, (begin_ns, end_ns), limit_ns in zip(plan.faults, times, until_ns, strict=True)
    ]


def watch_normal_scanning(minutes: float, rate_hz: float = 30.0) -> NormalReport:
    """Run the watch on simulated scanning without faults, faster than real time."""
    scanner = FaultScanner(FaultPlan(), rate_hz=rate_hz)
    watch, alarms, before = SignalWatch(), Counter[str](), _LIVE
    for frame in scanner.frames(60.0 * minutes):
        assert frame.screen is not None
        t_ns = 10**9 + round(frame.t_s * 1e9)
        if frame.number == 0:
            watch.set_reference(Screen(frame.screen), scanner.scan_xyxy_px, t_ns)
        grab = Grab(
            number=frame.number, screen=Screen(frame.screen), t_capture_ns=t_ns, t_decoded_ns=t_ns, stamp="arrival"
        )
        state = watch.judge(grab).state
        if state is not before and state is not _LIVE:
            alarms[str(state)] += 1
        before = state
    return NormalReport(minutes=minutes, alarms={str(state): alarms[state] for state in SignalState if state != _LIVE})


def _listen(address: str, player: subprocess.Popen[str]) -> _Observed:
    observed, stop = _Observed(), threading.Event()
    source = open_live(address, SourceOptions(session_id="bench", clock=MonotonicClock()))

    def note_states() -> None:
        before: tuple[SignalState, str] | None = None
        while not stop.is_set():
            signal = source.signal
            if before is None or signal.state is not before[0]:
                before = (signal.state, signal.reason)
                observed.states.append((time.monotonic_ns(), *before))
            time.sleep(_SAMPLE_S)

    def end_with_the_player() -> None:
        player.wait()
        time.sleep(1.0)
        source.close()

    noting = threading.Thread(target=note_states, daemon=True)
    noting.start()
    threading.Thread(target=end_with_the_player, daemon=True).start()
    try:
        for frame in source.frames():
            if frame.picture is _LIVE:
                observed.live_ns.append(time.monotonic_ns())
    finally:
        stop.set()
        source.close()
        noting.join(5.0)
    return observed


def _row(fault: Fault, begin_ns: int, end_ns: int, limit_ns: int, observed: _Observed) -> FaultRow:
    expected = EXPECTED[fault.kind]
    during = [state for t_ns, state, _ in observed.states if begin_ns <= t_ns <= end_ns]
    alarms_ns = [t_ns for t_ns, state, _ in observed.states if end_ns < t_ns <= limit_ns and state is not _LIVE]
    calm_ns = max(alarms_ns, default=end_ns)
    recovered_ns = next((t_ns for t_ns in observed.live_ns if calm_ns < t_ns <= limit_ns), None)
    span = [(t_ns, state) for t_ns, state, _ in observed.states if begin_ns <= t_ns <= limit_ns]
    detected_ns = None if expected[0] is _LIVE else next((t_ns for t_ns, state in span if state in expected), None)
    # The watch adapts to a change while it lasts, and again when it ends.
    allowed = {*expected, _LIVE, *((_CHANGED, _NOT_B_MODE, _LOST) if _CHANGED in expected else ())}
    return FaultRow(
        kind=fault.kind,
        settings=dict(fault.settings),
        expected=str(expected[0]),
        said=tuple(str(state) for state in during),
        detected_s=None if detected_ns is None else (detected_ns - begin_ns) / 1e9,
        recovered_s=None if recovered_ns is None else (recovered_ns - end_ns) / 1e9,
        wrong=tuple(sorted({str(state) for _, state in span if state not in allowed})),
    )


def _times(place: int, entries: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Beginning and end of a fault, monotonic ns, from the player's log."""
    begin = end = None
    for entry in entries:
        if entry.get("fault") == place and entry["event"] in ("begin", "end"):
            begin, end = (entry["t_ns"], end) if entry["event"] == "begin" else (begin, entry["t_ns"])
    if begin is None:
        raise UsAssistError("the fault player ended before all faults were played; give it a quieter machine")
    return begin, begin if end is None else end


def _addresses(transport: str, folder: Path) -> tuple[str, str]:
    """Where the player sends to, and where the source listens."""
    if transport == "fifo":
        path = folder / "pipe"
        os.mkfifo(path, 0o600)
        return f"fifo:{path}", f"pipe:{path}"
    port = _free_port()
    if transport == "rtsp":
        return f"rtsp://127.0.0.1:{port}/live", f"rtsp://127.0.0.1:{port}/live"
    return f"{transport}://127.0.0.1:{port}", f"{transport}://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _toml(plan: FaultPlan) -> str:
    faults = tomlkit.aot()
    for fault in plan.faults:
        faults.append(tomlkit.item(fault.as_dict()))
    document = tomlkit.document()
    document["schema"] = 1
    document["fault"] = faults
    return tomlkit.dumps(document)
