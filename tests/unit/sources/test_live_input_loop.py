"""The loop: a clip as a live input."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from usassist.common.pyav import av
from usassist.errors import SourceError, UsageError
from usassist.records import SignalState
from usassist.sources.grab import Grab
from usassist.sources.inputs import loop
from usassist.sources.inputs.address import GrabOptions, is_live, open_grabber
from usassist.sources.inputs.loop import FAULT_S, FAULTS, LoopGrabber, fault_at, load_frames
from usassist.sources.screen import Screen
from usassist.sources.watch import SignalWatch

DEMO_SCAN_XYXY_PX = (334, 76, 946, 688)


def _frames(count: int, pixel_format: str = "gray") -> list[av.VideoFrame]:
    """Pictures whose level is ten times their number."""
    frames = [av.VideoFrame.from_ndarray(np.full((32, 64), 10 * number, np.uint8), "gray") for number in range(count)]
    return [frame.reformat(format=pixel_format) for frame in frames]


def _levels(grabs: Iterator[Grab], count: int) -> list[int]:
    return [int(grab.screen.image[0, 0]) // 10 for grab in islice(grabs, count)]


def _clip(path: Path, count: int, hw: tuple[int, int] = (48, 64)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *hw, "yuv420p"
        for number in range(count):
            image = np.full((*hw, 3), 5 * number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_play_forwards_and_backwards_and_those_at_the_ends_once() -> None:
    with LoopGrabber(_frames(4), 200) as grabber:
        steps = [(grab.pts, int(grab.screen.image[0, 0]) // 10) for grab in islice(grabber.grabs(), 12)]
    there_and_back = [0, 1, 2, 3, 2, 1]
    assert [level for _, level in steps] == [there_and_back[number % 6] for number, _ in steps if number is not None]


def test_a_frame_is_captured_when_it_was_due() -> None:
    with LoopGrabber(_frames(4), 200) as grabber:
        grabs = list(islice(grabber.grabs(), 8))
    assert {(b.t_capture_ns - a.t_capture_ns) // (b.number - a.number) for a, b in pairwise(grabs)} == {5_000_000}
    assert all(grab.t_decoded_ns >= grab.t_capture_ns for grab in grabs)
    assert {grab.time_base for grab in grabs} == {Fraction(1, 200)}


def test_frames_that_were_not_taken_in_time_are_skipped_and_counted() -> None:
    with LoopGrabber(_frames(4), 200) as grabber:
        grabs = grabber.grabs()
        before = next(grabs)
        time.sleep(0.05)
        now_ns = time.monotonic_ns()
        after = list(islice(grabs, 3))
    assert after[0].number - before.number >= 7  # ten were due, and the newest three of them are delivered
    assert all(grab.t_capture_ns <= now_ns for grab in after)
    assert [grab.pts for grab in after] == [after[0].number + number for number in range(3)]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuyv422", "gray"])
def test_every_format_is_converted_to_full_range(pixel_format: str) -> None:
    with LoopGrabber(_frames(3, pixel_format), 200) as grabber:
        grabs = list(islice(grabber.grabs(), 2))
    assert {grab.screen.image.ndim for grab in grabs} == {2 if pixel_format == "gray" else 3}
    for grab in grabs:
        number = grab.number % 4
        assert abs(int(grab.screen.image[0, 0].max()) - 10 * (number if number < 3 else 1)) <= 2


def test_a_grey_screen_is_no_view_of_the_loop() -> None:
    frames = _frames(2)
    with LoopGrabber(frames, 200) as grabber:
        grab = next(grabber.grabs())
    grab.screen.image[...] = 77
    assert int(frames[grab.number % 2].to_ndarray()[0, 0]) != 77


def test_closing_ends_it() -> None:
    grabber = LoopGrabber(_frames(2), 200)
    grabs = grabber.grabs()
    next(grabs)
    grabber.close()
    assert list(grabs) == []


def test_a_clip_is_resized_while_it_is_loaded_and_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _clip(tmp_path / "clip.mkv", 30)
    rate_hz, frames = load_frames(path, (96, 64), "yuv420p")
    assert rate_hz == 25
    assert len(frames) == 30
    assert {(picture.width, picture.height, picture.format.name) for picture in frames} == {(96, 64, "yuv420p")}
    load_frames.cache_clear()
    monkeypatch.setattr(loop, "_MAX_BYTES", 10 * sum(plane.buffer_size for plane in frames[0].planes))
    assert len(load_frames(path, (96, 64), "yuv420p")[1]) == 10
    load_frames.cache_clear()


def test_the_bundled_clip_is_the_default() -> None:
    assert is_live("loop:")
    with open_grabber("loop:?fps=240&size=320x180") as grabber:  # type: ignore[attr-defined]
        assert grabber.description == "loop, yuv420p 320 x 180 px, 240 Hz"
        assert next(grabber.grabs()).screen.image.shape == (180, 320, 3)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("loop:demo?fps=0", "fps=0"),
        ("loop:demo?fps=many", "fps=many"),
        ("loop:demo?size=12", "12 is not a size"),
        ("loop:demo?size=321x180", "odd"),
        ("loop:demo?format=rgb24", "no format rgb24"),
        ("loop:demo?speed=2", "unknown setting speed"),
        ("loop:demo?fps=30,size=640x480", "separated by &"),
        ("loop:demo?faults=1", "faults=1"),
    ],
)
def test_wrong_settings_are_named(address: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_grabber(address, GrabOptions())


def test_a_missing_or_too_short_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file"):
        open_grabber(f"loop:{tmp_path / 'none.mkv'}")
    with pytest.raises(SourceError, match="fewer than two frames"):
        open_grabber(f"loop:{_clip(tmp_path / 'one.mkv', 1)}")


def test_the_watch_judges_the_bundled_clip_in_a_loop_as_live() -> None:
    _, frames = load_frames(Path("demo/clip.mkv").resolve(), None, "yuv420p")
    with LoopGrabber(frames, 60) as grabber:
        watch, states = SignalWatch(), set()
        for number in range(2 * 2 * (len(frames) - 1)):
            t_ns = 10**9 + round(number * 1e9 / 60)
            screen = Screen.of(grabber._frame(number, None))
            if number == 0:
                watch.set_reference(screen, DEMO_SCAN_XYXY_PX, t_ns)
            grab = Grab(number=number, screen=screen, t_capture_ns=t_ns, t_decoded_ns=t_ns, stamp="driver")
            states.add(watch.judge(grab).state)
    assert states == {SignalState.LIVE}


def test_faults_follow_each_other_by_the_clock() -> None:
    every_s = 10.0
    faults = [fault_at(round((10.0 * turn + 9.0) * 1e9), every_s) for turn in range(7)]
    assert faults == [*FAULTS, *FAULTS[:2]]
    assert fault_at(round(1e9 * (10.0 - FAULT_S - 0.01)), every_s) is None
    assert fault_at(round(1e9 * 10.0), every_s) is None


def test_each_fault_has_its_effect() -> None:
    frames, resized = _frames(4), [frame.reformat(32, 16) for frame in _frames(4)]

    def grabs(fault: str) -> Iterator[Grab]:
        return LoopGrabber(frames, 200, fault=lambda t_ns: fault, resized=resized).grabs()

    assert len(set(_levels(grabs("freeze"), 5))) == 1
    assert set(_levels(grabs("black"), 3)) == {0}
    assert next(grabs("resize")).screen.image.shape == (16, 32)
    with pytest.raises(SourceError, match="the device is gone"):
        next(grabs("unplug"))


def test_silence_gives_nothing_until_it_is_over() -> None:
    calls = iter(["silence"] * 3)
    with LoopGrabber(_frames(4), 200, fault=lambda t_ns: next(calls, None)) as grabber:
        assert next(grabber.grabs()).number >= 3


def test_an_unplugged_loop_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "fault_at", lambda t_ns, every_s: "unplug")
    with pytest.raises(SourceError, match="unplugged"):
        open_grabber("loop:demo?faults=12")
