"""The live source with grabbers, a watch and a scan check that do what a test wants."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.in_thread import InThread
from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.calibrate import Geometry
from usassist.common.clock import MonotonicClock
from usassist.errors import UsageError
from usassist.records import Frame, SignalState
from usassist.sources import SourceOptions, open_source
from usassist.sources.grab import Grab
from usassist.sources.live import LiveSource, open_live
from usassist.sources.scale_watch import ScaleWatch
from usassist.sources.scan_check import AreaStatus
from usassist.sources.screen import Screen
from usassist.sources.watch import SignalVerdict

LIVE, FROZEN, LOST, CHANGED = SignalState.LIVE, SignalState.FROZEN, SignalState.LOST, SignalState.CHANGED
STEP_NS = 33_000_000
BANNER = 255


def screen(number: int, hw: tuple[int, int] = (240, 320), box: tuple[int, int, int, int] = (60, 40, 260, 220)) -> Any:
    """A scanner's screen: a bright banner, a dark surround, and moving speckle in the box."""
    rng = np.random.default_rng(number)
    image = np.zeros((*hw, 3), np.uint8)
    image[:16] = BANNER
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = rng.integers(60, 200, (y2 - y1, x2 - x1, 1))
    return image


class ScriptedGrabber:
    """Delivers a list of screens, one as soon as the one before was processed, and then waits to be closed."""

    description = "scripted"
    warnings = ("interlaced",)
    rate_hz = 30.0

    def __init__(self, screens: list[Any]) -> None:
        self._screens = screens
        self.taken = threading.Semaphore(0)
        self.closed = threading.Event()

    def grabs(self) -> Iterator[Grab]:
        for number, image in enumerate(self._screens):
            t_ns = 10**9 + number * STEP_NS
            yield Grab(number=number, screen=Screen(image), t_capture_ns=t_ns, t_decoded_ns=t_ns + 1, stamp="arrival")
            self.taken.acquire(timeout=20)
        self.closed.wait(20)

    def close(self) -> None:
        self.closed.set()


class FakeWatch:
    """Judges the nth screen after the reference by the script of the test."""

    script: list[SignalState]
    settled: list[tuple[int, int, int, int]]

    def __init__(self, profile: Any = None) -> None:
        pass

    def set_reference(self, image: Any, roi: tuple[int, int, int, int], t_ns: int) -> None:
        self.settled.append(roi)

    def judge(self, grab: Grab) -> SignalVerdict:
        state = self.script.pop(0) if self.script else LIVE
        return SignalVerdict(state=state, reason="" if state is LIVE else f"it is {state}", since_ns=grab.t_decoded_ns)

    def judge_silence(self, now_ns: int) -> SignalVerdict:
        return SignalVerdict(state=LIVE, reason="", since_ns=now_ns)


class FakeCheck:
    failing = False

    def __init__(self, roi: Any) -> None:
        pass

    def check(self, image: Any) -> AreaStatus:
        return AreaStatus(ok=not self.failing, reason="the image has moved" if self.failing else "", found=None)


Play = Callable[..., tuple[list[Frame], LiveSource, list[SignalState]]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    FakeWatch.script, FakeWatch.settled, FakeCheck.failing = [], [], False
    monkeypatch.setattr("usassist.sources.live.SignalWatch", FakeWatch)
    monkeypatch.setattr("usassist.sources.live.ScanCheck", FakeCheck)

    def call(screens: list[Any], *states: SignalState, **options: Any) -> Any:
        FakeWatch.script = list(states)
        grabber = ScriptedGrabber(screens)
        source = LiveSource(
            InThread(lambda: grabber), SourceOptions(session_id="s", clock=MonotonicClock(), **options), kind="test"
        )
        states_seen: list[SignalState] = []
        look = source._process
        seen = 0

        def looked(grab: Grab) -> Frame | None:
            nonlocal seen
            frame = look(grab)
            states_seen.append(source.signal.state)
            seen += 1
            if seen == len(screens):
                source._closed.set()
            grabber.taken.release()
            return frame

        monkeypatch.setattr(source, "_process", looked)
        frames = list(source.frames())
        source.close()
        return frames, source, states_seen

    return call


def test_frames_start_once_the_scan_area_is_found_and_show_nothing_else(play: Play) -> None:
    frames, source, _ = play([screen(i) for i in range(40)])
    assert len(frames) > 10
    assert [frame.frame_id for frame in frames] == list(range(len(frames)))
    (roi,) = FakeWatch.settled
    assert roi[1] >= 16
    for frame in frames:
        assert frame.roi_xyxy_px == roi
        assert int(frame.image.max()) < BANNER
        assert frame.picture is LIVE
        assert frame.t_decoded_ns == frame.t_capture_ns + 1
    assert source.info.image_hw_px == frames[0].image_hw_px
    assert source.info.grab_hw_px == (240, 320)
    assert source.info.description == "scripted; interlaced"
    assert source.info.rate_hz == 30.0


def test_a_grey_frame_has_one_plane_and_one_with_colour_three(play: Play) -> None:
    screens = [screen(i) for i in range(30)]
    for image in screens[20:]:
        image[100, 150] = (200, 60, 60)
    frames, _, _ = play(screens)
    kinds = [frame.image.ndim for frame in frames]
    assert set(kinds) == {2, 3}
    assert kinds == sorted(kinds)
    assert kinds[-10:] == [3] * 10
    x1, y1, x2, y2 = frames[0].roi_xyxy_px
    np.testing.assert_array_equal(frames[-11].image, screens[19][y1:y2, x1:x2, 0])
    np.testing.assert_array_equal(frames[-1].image, screens[29][y1:y2, x1:x2])
    assert all(frame.t_cropped_ns is not None for frame in frames)


def test_frames_that_the_input_skipped_are_gaps_in_the_frame_ids(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    grabs = ScriptedGrabber.grabs

    def with_a_gap(self: ScriptedGrabber) -> Iterator[Grab]:
        for grab in grabs(self):
            yield grab if grab.number < 25 else dataclasses.replace(grab, number=grab.number + 3)

    monkeypatch.setattr(ScriptedGrabber, "grabs", with_a_gap)
    frames, source, _ = play([screen(i) for i in range(40)])
    steps = np.diff([frame.frame_id for frame in frames])
    assert sorted(set(steps.tolist())) == [1, 4]
    assert np.count_nonzero(steps == 4) == 1
    assert source.signal.skipped == 3


def test_a_frozen_frame_carries_that_state(play: Play) -> None:
    frames, _, states_seen = play([screen(i) for i in range(30)], LIVE, LIVE, FROZEN, FROZEN, LIVE)
    assert [frame.picture for frame in frames[:6]] == [LIVE, LIVE, FROZEN, FROZEN, LIVE, LIVE]
    assert frames[2].picture_reason == "it is frozen"
    assert FROZEN in states_seen


def damage(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Screens with these numbers are damaged."""
    grabs = ScriptedGrabber.grabs

    def damaged(self: ScriptedGrabber) -> Iterator[Grab]:
        for grab in grabs(self):
            yield dataclasses.replace(grab, damage_reason="a part is lost" if first <= grab.number <= last else "")

    monkeypatch.setattr(ScriptedGrabber, "grabs", damaged)


def test_a_damaged_frame_carries_that_state(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch, 18, 23)
    frames, _, _ = play([screen(i) for i in range(40)], *[LIVE] * 5, FROZEN)
    damaged = [frame for frame in frames if frame.picture is SignalState.DAMAGED]
    assert {frame.picture_reason for frame in damaged} == {"a part is lost"}
    assert len(damaged) == 5  # one of the six is frozen: the verdict of the watch takes precedence
    assert FROZEN in [frame.picture for frame in frames]


def test_no_scan_area_is_searched_on_a_damaged_frame(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(monkeypatch, 0, 29)
    frames, _, states_seen = play([screen(i) for i in range(60)])
    assert set(states_seen[:30]) == {SignalState.DAMAGED}
    assert len(FakeWatch.settled) == 1
    assert all(frame.picture is LIVE for frame in frames)
    assert frames


def test_a_lost_signal_gives_no_frame(play: Play) -> None:
    frames, _, states_seen = play([screen(i) for i in range(30)], LIVE, LOST, LOST, LIVE)
    assert all(frame.picture is LIVE for frame in frames)
    assert states_seen.count(LOST) >= 2


def test_after_a_change_no_frame_is_given_until_the_area_is_found_again(play: Play) -> None:
    other = (40, 60, 200, 200)
    screens = [screen(i) for i in range(30)] + [screen(100 + i, box=other) for i in range(40)]
    frames, _, states_seen = play(screens, *[LIVE] * 14, *[CHANGED])
    assert len(FakeWatch.settled) == 2
    first, second = FakeWatch.settled
    assert first != second
    assert CHANGED in states_seen
    assert {frame.roi_xyxy_px for frame in frames} == {first, second}
    assert all(int(frame.image.max()) < BANNER for frame in frames)


def test_a_new_screen_size_is_a_change_even_before_the_watch_judges_it(play: Play) -> None:
    screens = [screen(i) for i in range(25)] + [screen(i, (300, 400)) for i in range(25)]
    frames, source, states_seen = play(screens)
    assert CHANGED in states_seen
    assert source.info.grab_hw_px == (300, 400)
    assert {frame.roi_xyxy_px for frame in frames} == set(FakeWatch.settled)


def test_with_a_calibration_frames_resume_when_its_screen_is_back(play: Play) -> None:
    geometry = Geometry(
        calibration_id="g",
        crop_xyxy_px=(60, 40, 260, 220),
        grab_hw_px=(240, 320),
        spacing_rc_mm=(0.1, 0.1),
        spacing_rel_sd=0.01,
    )
    frames, _, states_seen = play([screen(i) for i in range(20)], LIVE, CHANGED, CHANGED, LIVE, geometry=geometry)
    assert FakeWatch.settled == [(60, 40, 260, 220)]
    assert states_seen.count(CHANGED) == 2
    assert len(frames) == 20 - 1 - 2
    assert all(frame.spacing_rc_mm == (0.1, 0.1) for frame in frames)


def test_a_calibration_of_another_screen_gives_no_frame_and_a_reason(play: Play) -> None:
    geometry = Geometry(
        calibration_id="g", crop_xyxy_px=None, grab_hw_px=(480, 640), spacing_rc_mm=(0.1, 0.1), spacing_rel_sd=0.01
    )
    frames, source, _ = play([screen(i) for i in range(20)], geometry=geometry)
    assert frames == []
    assert source.signal.state is CHANGED
    assert "calibration g was made on a screen of 640 x 480" in source.signal.reason


def test_a_screen_without_an_ultrasound_image_gives_no_frame(play: Play) -> None:
    empty = np.zeros((240, 320, 3), np.uint8)
    empty[100:104, 50:90] = 200
    frames, source, _ = play([empty] * 30)
    assert frames == []
    assert source.signal.state is SignalState.NOT_B_MODE
    assert "no ultrasound image" in source.signal.reason


def test_a_check_that_fails_twice_is_a_change(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.sources.live._CHECK_EVERY_NS", 3 * STEP_NS)
    FakeCheck.failing = True
    frames, _, states_seen = play([screen(i) for i in range(60)])
    assert CHANGED in states_seen
    assert len(FakeWatch.settled) >= 2
    assert frames


def test_before_the_first_frame_the_signal_is_lost() -> None:
    blocked = threading.Event()

    def opener() -> Any:
        blocked.wait(20)
        raise AssertionError("not reached in this test")

    source = LiveSource(InThread(opener), SourceOptions(session_id="s"))
    assert source.signal.state is LOST
    assert source.info.image_hw_px == (0, 0)
    threading.Timer(0.3, source.close).start()
    assert list(source.frames()) == []
    blocked.set()


def test_live_input_has_its_own_pace() -> None:
    with pytest.raises(UsageError, match="own pace"):
        open_source("udp://127.0.0.1:1", session_id="s", fast=True)


def test_a_live_frame_has_the_scale_of_the_ruler_on_its_screen(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "usassist.sources.live.ScaleWatch", lambda mode, geometry, background: ScaleWatch(mode, geometry)
    )

    def with_ruler(number: int, step_px: float) -> Any:
        image = speckle(number)
        draw_ruler(image, step_px)
        return image

    screens = [with_ruler(number, 72.0 if number < 20 else 60.0) for number in range(40)]
    frames, _, _ = play(screens, crop=ROI)
    scales = [None if frame.spacing_rc_mm is None else round(10.0 / frame.spacing_rc_mm[0]) for frame in frames]
    assert scales[0] == 72
    assert scales[-1] == 60
    assert scales.index(60) - 20 <= 0.5e9 / STEP_NS
    assert {frame.calibration_id for frame in frames} == {"scale_by_ruler"}
    frames, _, _ = play(screens, crop=ROI, scale="none")
    assert {frame.spacing_rc_mm for frame in frames} == {None}


def test_a_scale_set_by_hand_ends_when_the_signal_is_lost(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    screens = [speckle(number) for number in range(30)]
    given: list[tuple[int, str]] = []

    class Setting(ScaleWatch):
        def claim(self, *arguments: Any, frame_id: int = 0, **options: Any) -> Any:
            claim = super().claim(*arguments, frame_id=frame_id, **options)
            if frame_id == 3:
                assert self.set_by_hand(3, ((10.0, 10.0), (10.0, 310.0)), 30.0) == ""
            given.append((frame_id, "" if claim is None else str(claim.calibration_id)))
            return claim

    monkeypatch.setattr("usassist.sources.live.ScaleWatch", Setting)
    lost = SignalState.LOST
    frames, source, _ = play(screens, *[LIVE] * 12, lost, lost, *[LIVE] * 10, crop=ROI)
    by_hand = [frame.frame_id for frame in frames if frame.calibration_id == "scale_by_hand"]
    assert by_hand == list(range(4, 12))
    assert len(frames) > 20
    assert source.scale_note == "the scale set by hand has ended: it is lost"


@pytest.mark.parametrize(
    ("address", "kind"), [("loop:demo", "simulated"), ("loop:mine.mkv?fps=30", "clip"), ("v4l2:/dev/video9", "live")]
)
def test_a_clip_that_is_played_like_an_input_is_not_called_live(address: str, kind: str) -> None:
    with open_live(address, SourceOptions(session_id="s")) as source:
        assert source.info.kind == kind
