"""A scale that is set by two points: from when, and until when it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.common.pyav import av
from usassist.records import Frame
from usassist.sources import open_source, scale_watch
from usassist.sources.ruler import NoRuler, Ruler, RulerCause
from usassist.sources.ruler.ticks import find_ticks
from usassist.sources.scale import ScaleMode
from usassist.sources.scale_by_hand import BY_HAND, TakesScale
from usassist.sources.scale_watch import ScaleWatch

UInt8Array = npt.NDArray[np.uint8]

MS = 1_000_000
POINTS = ((100.0, 20.0), (100.0, 320.0))
DARK = [speckle(seed) for seed in range(4)]


class Watched:
    """Screens given to a watch, 25 a second."""

    def __init__(self, mode: ScaleMode = "auto", *, separate: bool = False) -> None:
        self.watch = ScaleWatch(mode, None, separate=separate)
        self.frame_id = -1

    def show(self, screens: list[UInt8Array], roi: tuple[int, int, int, int] = ROI) -> list[str | None]:
        """What states the scale of each."""
        found = []
        for screen in screens:
            self.frame_id += 1
            claim = self.watch.claim(roi, self.frame_id * 40 * MS, lambda screen=screen: screen, None, self.frame_id)
            found.append(None if claim is None else claim.calibration_id)
        return found

    def set(self, frame_id: int | None = None, mm: float = 30.0, points: Any = POINTS) -> str:
        return self.watch.set_by_hand(self.frame_id if frame_id is None else frame_id, points, mm)


def with_text(text: str, seed: int = 0, x: int = 20) -> UInt8Array:
    screen = speckle(seed)
    cv2.putText(screen, text, (x, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (200,), 1, cv2.LINE_AA)
    return screen


def test_it_holds_from_the_next_frame_on() -> None:
    watched = Watched()
    assert set(watched.show(DARK)) == {None}
    assert watched.set() == ""
    assert set(watched.show(DARK * 10)) == {BY_HAND}
    claim = watched.watch.claim(ROI, 10**10, lambda: DARK[0], None, 99)
    assert claim is not None
    assert claim.spacing_rc_mm == pytest.approx((0.1, 0.1))
    assert claim.spacing_rel_sd == pytest.approx(0.01228, abs=1e-4)
    assert watched.watch.note == ""


def test_another_one_replaces_it() -> None:
    watched = Watched()
    watched.show(DARK)
    watched.set()
    watched.show(DARK)
    assert watched.set(mm=45.0) == ""
    claim = watched.watch.claim(ROI, 10**10, lambda: DARK[0], None, 99)
    assert claim is not None
    assert claim.spacing_rc_mm == pytest.approx((0.15, 0.15))


def test_points_that_cannot_be_leave_what_was_set() -> None:
    watched = Watched()
    watched.show(DARK)
    watched.set()
    assert "px apart" in watched.set(points=((0.0, 0.0), (0.0, 10.0)))
    assert "outside the frame" in watched.set(points=((0.0, 0.0), (0.0, 361.0)))
    assert set(watched.show(DARK)) == {BY_HAND}


@pytest.mark.parametrize("side_x", [20, 520])
def test_any_change_on_the_screen_beside_the_image_ends_it_and_it_does_not_come_back(side_x: int) -> None:
    before, after = with_text("D 4.0 cm", x=side_x), with_text("D 5.0 cm", x=side_x)
    watched = Watched()
    watched.show([before] * 10)
    watched.set()
    assert set(watched.show([before] * 20)) == {BY_HAND}
    found = watched.show([after] * 20)
    assert found.index(None) <= 7, "at the next of four looks a second"
    assert set(found[8:]) == {None}
    assert watched.watch.note == "the scale set by hand has ended: the screen beside the image has changed"
    assert set(watched.show([before] * 20)) == {None}


def test_a_frame_from_before_the_change_is_refused_and_one_after_it_is_taken() -> None:
    watched = Watched()
    watched.show([with_text("D 4.0 cm")] * 20)
    frozen = watched.frame_id
    watched.show([with_text("D 5.0 cm")] * 20)
    assert watched.set(frozen) == "the screen beside the image has changed since that frame; freeze a newer one"
    assert set(watched.show(DARK[:1])) == {None}
    watched.show(DARK[:1] * 20)
    assert watched.set() == ""


def test_frames_that_have_not_come_are_refused() -> None:
    watched = Watched()
    assert watched.set(0) == "no frame has come yet"
    watched.show(DARK)
    assert watched.set(400) == "that frame is not of the present screen"
    assert watched.set(-1) == "that frame is not of the present screen"


def test_another_scan_area_ends_it() -> None:
    watched = Watched()
    watched.show(DARK)
    watched.set()
    x1, y1, x2, y2 = ROI
    assert set(watched.show(DARK, (x1, y1, x2, y2 - 40))) == {None}
    assert set(watched.show(DARK)) == {None}
    assert "scan area has changed" in watched.watch.note


def test_a_lost_signal_ends_it() -> None:
    watched = Watched()
    watched.show(DARK)
    watched.set()
    watched.watch.end_by_hand("the signal was lost")
    assert watched.set(0) == "that frame is not of the present screen"
    assert set(watched.show(DARK)) == {None}
    assert watched.watch.note == "the scale set by hand has ended: the signal was lost"


def test_a_ruler_that_agrees_comes_first_and_one_that_contradicts_leaves_none() -> None:
    ruled = [speckle(seed) for seed in range(4)]
    for screen in ruled:
        draw_ruler(screen, 72.0)  # 10 mm
    watched = Watched()
    watched.show(ruled)
    assert watched.set(mm=300 * 10 / 72.0 * 1.02) == ""
    assert set(watched.show(ruled)) == {"scale_by_ruler"}
    assert watched.set(mm=300 * 10 / 72.0 * 1.08) == ""
    assert set(watched.show(ruled)) == {None}
    assert watched.watch.note == "the ruler on the screen and two points set by hand state different scales"
    assert watched.set(mm=300 * 10 / 72.0) == "", "and it is put right by setting it again"
    assert set(watched.show(ruled)) == {"scale_by_ruler"}


@pytest.mark.parametrize("mode", ["profile", "none"])
def test_other_modes_take_none_and_look_at_no_screen(mode: ScaleMode) -> None:
    def never() -> UInt8Array:
        raise AssertionError("the screen was looked at")

    watch = ScaleWatch(mode, None)
    watch.claim(ROI, 0, never)
    assert watch.set_by_hand(0, POINTS, 30.0) == f"the stream was started with --scale {mode}"


def test_images_of_a_folder_take_none() -> None:
    watched = Watched(separate=True)
    watched.show(DARK)
    assert watched.set() == "each image of a folder is one of its own"


def test_ticks_inside_the_image_whose_unit_is_not_known_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def ruled(step_px: float) -> UInt8Array:
        screen = speckle()
        draw_ruler(screen, step_px, x=466)  # inside, at the right edge
        return screen

    def read(screen: UInt8Array, roi: Any) -> NoRuler:
        ticks = find_ticks(screen, (460, 480), (60, 420))
        assert ticks is not None
        return NoRuler(cause=RulerCause.STEP_UNKNOWN, reason="not known", rulers=(Ruler(side="right", ticks=ticks),))

    monkeypatch.setattr(scale_watch, "read_ruler", read)
    watched = Watched()
    watched.show([ruled(40.0)] * 50)
    watched.set()
    assert set(watched.show([ruled(40.0)] * 20)) == {BY_HAND}
    assert watched.show([ruled(50.0)] * 20)[-1] is None
    assert "the ticks beside the image have changed" in watched.watch.note


def clip(path: Path, screens: list[UInt8Array]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "gray"
        for number, screen in enumerate(screens):
            frame = av.VideoFrame.from_ndarray(screen, format="gray")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_a_clip_takes_one_while_it_plays_until_its_depth_changes(tmp_path: Path) -> None:
    screens = [with_text("D 4.0 cm" if number < 30 else "D 5.0 cm", number) for number in range(50)]
    path = clip(tmp_path / "clip.mkv", screens)
    frames: list[Frame] = []
    with open_source(f"clip:{path}", session_id="s", fast=True, crop=ROI) as source:
        assert isinstance(source, TakesScale)
        for frame in source.frames():
            frames.append(frame)
            if frame.frame_id == 5:
                assert source.set_scale(5, POINTS, 30.0) == ""
    by_hand = [frame.frame_id for frame in frames if frame.calibration_id == BY_HAND]
    assert by_hand == list(range(6, by_hand[-1] + 1))
    assert 29 <= by_hand[-1] <= 37
    for frame in frames:
        assert (frame.spacing_rc_mm is None) == (frame.calibration_id is None) == (frame.spacing_rel_sd is None)
