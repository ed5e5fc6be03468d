from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.common.pyav import av
from usassist.errors import UsageError
from usassist.phantom import PhantomConfig
from usassist.phantom.fault_scanner import FaultScanner
from usassist.phantom.faults import Fault, FaultPlan
from usassist.records import SignalState
from usassist.sources.grab import Grab
from usassist.sources.screen import Screen
from usassist.sources.watch import SignalVerdict, SignalWatch, WatchProfile

UInt8Array = npt.NDArray[np.uint8]

_HW_PX = (360, 480)
_RATES = (15.0, 30.0, 60.0)
_DETECTED = {
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
_HARMLESS = [("paused_probe", {}), ("frame_rate", {}), ("frame_rate", {"how": "repeated"})]
_HARMLESS += [("glitch", {"shows": shows}) for shows in ("torn", "black", "noise")]


@pytest.fixture(scope="session")
def scanner() -> FaultScanner:
    """One scanner with every fault; its loops are rendered once."""
    plan = FaultPlan(faults=tuple(_fault(kind, 10.0 * i) for i, kind in enumerate([*_DETECTED, "paused_probe"])))
    return FaultScanner(
        plan,
        config=PhantomConfig(
            seed=5, rate_hz=30.0, screen_hw_px=_HW_PX, nodule_count=1, sweep_mm=(-9.0, 9.0), sweep_s=1.5
        ),
        loop_s=1.5,
    )


def _fault(kind: str, at_s: float, for_s: float = 0.8, **settings: Any) -> Fault:
    return Fault(kind=kind, at_s=at_s, for_s=None if kind == "glitch" else for_s, settings=settings)


@pytest.fixture
def screens(scanner: FaultScanner, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[UInt8Array | None]]:
    """Screens of one fault from 1.3 s to 2.1 s, at a rate, `seconds` in all; None where nothing is sent."""

    def make(kind: str | None, rate_hz: float, seconds: float = 3.5, **settings: Any) -> list[UInt8Array | None]:
        faults = () if kind is None else (_fault(kind, 1.3, **settings),)
        plan = FaultPlan(faults=faults)
        monkeypatch.setattr(scanner, "plan", plan)
        monkeypatch.setattr(scanner, "config", replace(scanner.config, rate_hz=rate_hz))
        monkeypatch.setattr(scanner, "_numbers", [fault.numbers(rate_hz) for fault in faults])
        layouts = {i: scanner._make_layout(fault) for i, fault in enumerate(faults) if fault.group == "layout"}
        monkeypatch.setattr(scanner, "_layouts", layouts)
        return [scanner.at(number).screen for number in range(round(seconds * rate_hz))]

    return make


def _grab(image: UInt8Array, t_ns: int, *, number: int = 0, damaged: bool = False) -> Grab:
    return Grab(
        number=number, screen=Screen(image), t_capture_ns=t_ns, t_decoded_ns=t_ns, stamp="arrival", damaged=damaged
    )


def _play(
    screens: Iterable[UInt8Array | None],
    roi: tuple[int, int, int, int],
    rate_hz: float,
    watch: SignalWatch | None = None,
) -> list[tuple[float, SignalVerdict]]:
    """Take the first screen as the reference, judge the others; `judge_silence` where there is none."""
    watch, verdicts = watch or SignalWatch(), []
    for number, screen in enumerate(screens):
        t_ns = round(number * 1e9 / rate_hz)
        if number == 0:
            assert screen is not None
            watch.set_reference(Screen(screen), roi, t_ns)
        elif screen is None:
            verdicts.append((number / rate_hz, watch.judge_silence(t_ns)))
        else:
            verdicts.append((number / rate_hz, watch.judge(_grab(screen, t_ns, number=number))))
    return verdicts


def _states(verdicts: Sequence[tuple[float, SignalVerdict]]) -> set[str]:
    return {str(verdict.state) for _, verdict in verdicts}


@pytest.mark.parametrize("rate_hz", _RATES)
@pytest.mark.parametrize("kind", list(_DETECTED))
def test_every_fault_is_reported_within_half_a_second_and_cleared(
    kind: str, rate_hz: float, screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    verdicts = _play(screens(kind, rate_hz), scanner.scan_xyxy_px, rate_hz)
    assert _states([item for item in verdicts if item[0] < 1.3]) == {"live"}
    late = [item for item in verdicts if 1.8 <= item[0] < 2.1]
    assert {verdict.state for _, verdict in late} == {_DETECTED[kind]}
    assert all(verdict.reason for _, verdict in late)
    assert 1.2e9 <= late[0][1].since_ns <= 1.8e9
    assert _states([item for item in verdicts if item[0] >= 3.4]) == {"live"}


@pytest.mark.parametrize("rate_hz", _RATES)
@pytest.mark.parametrize(("kind", "settings"), _HARMLESS, ids=str)
def test_what_is_harmless_stays_live(
    kind: str,
    settings: dict[str, Any],
    rate_hz: float,
    screens: Callable[..., list[UInt8Array | None]],
    scanner: FaultScanner,
) -> None:
    verdicts = _play(screens(kind, rate_hz, seconds=2.4, **settings), scanner.scan_xyxy_px, rate_hz)
    assert _states(verdicts) == {"live"}


@pytest.mark.parametrize("noise", [True, False])
def test_a_repeated_grab_and_a_frozen_scanner_differ_by_clock_and_noise(
    noise: bool, screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    frozen = _play(screens("freeze", 30.0, grabber_noise=noise), scanner.scan_xyxy_px, 30.0)
    repeated = _play(screens("repeat", 30.0), scanner.scan_xyxy_px, 30.0)
    assert "the scanner is frozen" in next(v.reason for t, v in frozen if t >= 2.05)  # the clock went on at 2 s
    assert "bit for bit" in next(v.reason for t, v in repeated if t >= 2.05)


_Change = Callable[[UInt8Array, float, tuple[int, int, int, int]], UInt8Array]


def _cursor(screen: UInt8Array, t_s: float, roi: tuple[int, int, int, int]) -> UInt8Array:
    x, y = roi[0] + round(80 * t_s), roi[1] + round(60 * t_s)
    cv2.fillPoly(screen, [np.array([[x, y], [x, y + 16], [x + 11, y + 11]], np.int32)], (255, 255, 255))
    return screen


def _gain(screen: UInt8Array, t_s: float, roi: tuple[int, int, int, int]) -> UInt8Array:
    x1, y1, x2, y2 = roi
    if t_s > 1.5:
        screen[y1:y2, x1:x2] = cv2.convertScaleAbs(screen[y1:y2, x1:x2], alpha=1.35, beta=0)
        cv2.putText(screen, "G 71 dB", (4, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (150, 150, 150), 1)
    return screen


def _focus(screen: UInt8Array, t_s: float, roi: tuple[int, int, int, int]) -> UInt8Array:
    if t_s > 1.5:
        y = roi[1] + 300
        cv2.fillPoly(screen, [np.array([[roi[2] + 4, y], [roi[2] + 14, y - 6], [roi[2] + 14, y + 6]], np.int32)], 255)
    return screen


def _sepia(screen: UInt8Array, t_s: float, roi: tuple[int, int, int, int]) -> UInt8Array:
    x1, y1, x2, y2 = roi
    tint = np.array([1.0, 0.72, 0.36] if t_s < 1.5 else [0.45, 0.7, 1.0], np.float32)
    screen[y1:y2, x1:x2] = (screen[y1:y2, x1:x2] * tint).astype(np.uint8)
    return screen


def _guide(screen: UInt8Array, t_s: float, roi: tuple[int, int, int, int]) -> UInt8Array:
    if t_s > 1.5:
        cv2.line(screen, (roi[0] + 40, roi[1] + 40), (roi[0] + 300, roi[1] + 330), (40, 255, 40), 1)
        cv2.putText(screen, "P", (roi[0] + 8, roi[1] + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 120, 255), 2)
    return screen


@pytest.mark.parametrize("change", [_cursor, _gain, _focus, _sepia, _guide])
def test_marks_gain_and_tint_stay_live(
    change: _Change, screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    plain = screens(None, 30.0, seconds=3.0)
    roi = scanner.scan_xyxy_px
    shown = [change(screen.copy(), i / 30.0, roi) for i, screen in enumerate(plain) if screen is not None]
    assert _states(_play(shown, roi, 30.0)) == {"live"}


def test_a_scene_that_jumps_stays_live(screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner) -> None:
    plain = screens(None, 30.0, seconds=3.0)
    assert _states(_play(plain[:40] + plain[70:] + plain[5:40], scanner.scan_xyxy_px, 30.0)) == {"live"}


def _coded(
    screens: Sequence[UInt8Array | None], codec: str, container: str, options: dict[str, str]
) -> list[UInt8Array]:
    """Through an encoder and its decoder."""
    data = io.BytesIO()
    with av.open(data, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = _HW_PX
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, screen in enumerate(screens):
            assert screen is not None
            frame = av.VideoFrame.from_ndarray(screen, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    data.seek(0)
    with av.open(data) as coded:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in coded.decode(video=0)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize(("codec", "container"), [("mpeg4", "mpegts"), ("mpeg2video", "mpegts"), ("mjpeg", "avi")])
def test_a_freeze_is_detected_through_a_codec_whose_keyframes_change_it(
    codec: str,
    container: str,
    noise: bool,
    screens: Callable[..., list[UInt8Array | None]],
    scanner: FaultScanner,
) -> None:
    coded = _coded(screens("freeze", 30.0, grabber_noise=noise), codec, container, {"qmin": "3", "qmax": "3"})
    verdicts = _play(coded, scanner.scan_xyxy_px, 30.0)
    assert _states([item for item in verdicts if 1.8 <= item[0] < 2.1]) == {"frozen"}
    assert _states([item for item in verdicts if item[0] < 1.3 or item[0] > 2.8]) == {"live"}


@pytest.mark.filterwarnings("ignore")
def test_a_still_probe_stays_live_through_a_codec(
    screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    coded = _coded(screens("paused_probe", 30.0, seconds=3.0), "mpeg4", "mpegts", {"qmin": "3", "qmax": "3"})
    assert _states(_play(coded, scanner.scan_xyxy_px, 30.0)) == {"live"}


@pytest.mark.parametrize("start", ["black", "frozen"])
def test_a_black_or_frozen_start_is_not_live_for_long(
    start: str, screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    first = screens(None, 30.0, seconds=0.1)[0]
    assert first is not None
    shown = [np.zeros_like(first) if start == "black" else first] * 30
    verdicts = _play(shown, scanner.scan_xyxy_px, 30.0)
    assert _states([item for item in verdicts if item[0] > 0.5]) == {"lost" if start == "black" else "frozen"}


def test_after_silence_the_signal_is_live_only_when_it_moves(
    screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    plain = screens(None, 30.0, seconds=2.0)
    shown = [*plain[:30], *[None] * 20, *[plain[29]] * 20, *plain[30:]]
    verdicts = _play(shown, scanner.scan_xyxy_px, 30.0)
    assert verdicts[48][1].state is SignalState.LOST
    assert _states(verdicts[49:69]) <= {"lost", "frozen"}
    assert verdicts[-1][1].state is SignalState.LIVE


def test_damaged_frames_are_a_lost_signal(
    screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    watch, plain = SignalWatch(), screens(None, 30.0, seconds=1.0)
    _play(plain, scanner.scan_xyxy_px, 30.0, watch)
    last = plain[-1]
    assert last is not None
    verdicts = [watch.judge(_grab(last, round(1e9 + i * 1e9 / 30), damaged=True)) for i in range(10)]
    assert verdicts[-1].state is SignalState.LOST
    assert "damaged" in verdicts[-1].reason


def test_grey_grabs_are_watched_too(screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner) -> None:
    grey = [np.asarray(s[..., 1]) for s in screens("depth", 30.0) if s is not None]
    verdicts = _play(grey, scanner.scan_xyxy_px, 30.0)
    assert _states([item for item in verdicts if item[0] < 1.3]) == {"live"}
    assert _states([item for item in verdicts if 1.8 <= item[0] < 2.1]) == {"changed"}


def test_a_dual_profile_wants_two_views(screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner) -> None:
    dual = screens("dual", 30.0, seconds=2.5)
    watch = SignalWatch(WatchProfile(views="dual"))
    box = scanner._layouts[0].box_xyxy_px
    assert _states(_play(dual[40:62], box, 30.0, watch)) == {"live"}


def test_the_same_grabs_give_the_same_verdicts(
    screens: Callable[..., list[UInt8Array | None]], scanner: FaultScanner
) -> None:
    shown = screens("colour_box", 30.0)
    assert _play(shown, scanner.scan_xyxy_px, 30.0) == _play(shown, scanner.scan_xyxy_px, 30.0)


def test_without_a_reference_nothing_is_live() -> None:
    watch = SignalWatch()
    assert watch.judge(_grab(np.full((90, 120), 80, np.uint8), 5)).state is SignalState.LOST
    assert watch.judge_silence(10**10).state is SignalState.LOST


def test_a_scan_area_beside_the_screen_is_refused() -> None:
    with pytest.raises(UsageError, match="search it again"):
        SignalWatch().set_reference(Screen(np.zeros((90, 120), np.uint8)), (10, 10, 130, 80), 0)


def test_a_profile_comes_from_a_table_and_is_checked() -> None:
    assert WatchProfile.from_table({"views": "dual", "still_s": 0.4}).views == "dual"
    with pytest.raises(UsageError, match="unknown keys stil_s"):
        WatchProfile.from_table({"stil_s": 0.4})
    with pytest.raises(UsageError, match="wrong type"):
        WatchProfile.from_table({"still_s": "long"})
    with pytest.raises(UsageError, match="must be positive"):
        WatchProfile(clear_s=0.0)
    with pytest.raises(UsageError, match="single or dual"):
        WatchProfile.from_table({"views": "triple"})
