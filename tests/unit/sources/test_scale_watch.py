"""Which scale a frame carries: order and contradiction of the origins, and what a change of depth does."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.calibrate import Geometry
from usassist.errors import UsageError
from usassist.records import Frame
from usassist.sources import SourceOptions, open_source, parse_scale, scale_watch
from usassist.sources.ruler import read_ruler, ruler_is_same
from usassist.sources.ruler.text_reader import has_text_reader
from usassist.sources.scale import Claim, ScaleMode, combine, depth_is_plausible
from usassist.sources.scale_watch import ScaleWatch

UInt8Array = npt.NDArray[np.uint8]

MS = 1_000_000


def geometry(mm: float, rel_sd: float = 0.002) -> Geometry:
    return Geometry(
        calibration_id="probe_a", crop_xyxy_px=None, grab_hw_px=None, spacing_rc_mm=(mm, mm), spacing_rel_sd=rel_sd
    )


def screen(step_px: float | None = 72.0, seed: int = 0) -> UInt8Array:
    drawn = speckle(seed)
    if step_px is not None:
        draw_ruler(drawn, step_px)
    return drawn


def claims(watch: ScaleWatch, steps: list[float | None], every_ns: int = 40 * MS) -> list[float | None]:
    """px per cm of frames in order; a step of None is a screen without ruler."""
    screens = {step: screen(step) for step in set(steps)}
    found: list[float | None] = []
    for number, step in enumerate(steps):
        claim = watch.claim(ROI, number * every_ns, lambda step=step: screens[step])
        found.append(None if claim is None else 10.0 / claim.spacing_rc_mm[0])
    return found


def claim(mm: float, rel_sd: float, name: str | None = None) -> Claim:
    return Claim(spacing_rc_mm=(mm, mm), spacing_rel_sd=rel_sd, calibration_id=name)


def test_the_first_origin_counts_where_all_agree() -> None:
    chosen, reason = combine([claim(0.1, 0.01, "scale_by_dicom"), claim(0.101, 0.002, "a"), claim(0.1005, 0.01)])
    assert (chosen, reason) == (claim(0.1, 0.01, "scale_by_dicom"), "")


def test_two_origins_that_disagree_beyond_their_uncertainties_leave_none() -> None:
    chosen, reason = combine([claim(0.1, 0.002, "probe_a"), claim(0.102, 0.002, "scale_by_ruler")])
    assert chosen is None
    assert reason == "calibration probe_a and the ruler on the screen state different scales"
    assert combine([]) == (None, "")


def test_a_depth_has_to_be_plausible() -> None:
    assert depth_is_plausible((0.1, 0.1), 400)
    assert not depth_is_plausible((100.0, 100.0), 400)
    assert not depth_is_plausible((0.01, 0.01), 400)


def test_a_ruler_gives_every_frame_its_scale() -> None:
    found = claims(ScaleWatch("auto", None), [72.0] * 20)
    assert found == pytest.approx([72.0] * 20, rel=0.003)


def test_another_depth_ends_the_old_scale_within_half_a_second() -> None:
    found = claims(ScaleWatch("auto", None), [72.0] * 20 + [60.0] * 20)
    changed = next(number for number, px in enumerate(found) if px is not None and abs(px - 72.0) > 1.0)
    assert 20 <= changed <= 20 + 12
    assert found[changed:] == pytest.approx([60.0] * len(found[changed:]), rel=0.003)


def test_a_ruler_that_disappears_takes_the_scale_with_it_and_may_come_back() -> None:
    found = claims(ScaleWatch("auto", None), [72.0] * 10 + [None] * 20 + [72.0] * 60)
    gone = found.index(None)
    assert 10 <= gone <= 22
    assert set(found[gone:30]) == {None}
    assert found[-1] == pytest.approx(72.0, rel=0.003)


def test_a_profile_that_contradicts_the_ruler_leaves_no_scale(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert set(claims(ScaleWatch("auto", geometry(0.2)), [72.0] * 3)) == {None}
    assert any("state different scales" in record.message for record in caplog.records)


def test_a_profile_counts_where_the_ruler_agrees_or_there_is_none() -> None:
    watch = ScaleWatch("auto", geometry(10 / 72.0))
    assert claims(watch, [72.0, None]) == pytest.approx([72.0, 72.0], rel=1e-9)


@pytest.mark.parametrize("mode", ["auto", "profile"])
def test_a_profile_counts_only_for_the_scan_area_that_it_began_with(mode: ScaleMode) -> None:
    watch, dark = ScaleWatch(mode, geometry(0.2)), screen(None)
    x1, y1, x2, y2 = ROI
    assert watch.claim(ROI, 0, lambda: dark) is not None
    assert watch.claim((x1, y1, x2 + 5, y2), 40 * MS, lambda: dark) is not None
    watch.reset()
    assert watch.claim((x1, y1, x2, y2 - 60), 80 * MS, lambda: dark) is None
    assert watch.claim(ROI, 120 * MS, lambda: dark) is not None


@pytest.mark.parametrize(("mode", "px"), [("profile", 50.0), ("none", None)])
def test_other_modes_read_no_ruler(mode: ScaleMode, px: float | None) -> None:
    def never() -> UInt8Array:
        raise AssertionError("the screen was looked at")

    found = ScaleWatch(mode, geometry(0.2)).claim(ROI, 0, never)
    assert (None if found is None else 10.0 / found.spacing_rc_mm[0]) == px


def test_the_screen_is_looked_at_four_times_a_second() -> None:
    looks = 0

    def look() -> UInt8Array:
        nonlocal looks
        looks += 1
        return shown

    shown, watch = screen(), ScaleWatch("auto", None)
    for number in range(50):  # 2 s at 25 Hz
        watch.claim(ROI, number * 40 * MS, look)
    assert 7 <= looks <= 9


def test_without_a_ruler_the_readings_become_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    dark, watch = screen(None), ScaleWatch("auto", None)

    def read(*arguments: Any) -> object:
        times.append(number)
        return read_ruler(*arguments)

    monkeypatch.setattr(scale_watch, "read_ruler", read)
    for number in range(300):  # 30 s at 10 Hz
        watch.claim(ROI, number * 100 * MS, lambda: dark)
    assert len(times) <= 9
    assert times[-1] - times[-2] > times[1] - times[0]


def test_in_the_background_frames_have_no_scale_until_it_is_read() -> None:
    shown, watch = screen(), ScaleWatch("auto", None, background=True)
    assert watch.claim(ROI, 0, lambda: shown) is None
    found, deadline = None, time.monotonic() + 20.0
    while found is None and time.monotonic() < deadline:
        time.sleep(0.01)
        found = watch.claim(ROI, 40 * MS, lambda: shown)
    assert found is not None
    assert 10.0 / found.spacing_rc_mm[0] == pytest.approx(72.0, rel=0.003)


def test_in_the_background_an_answer_about_another_ruler_is_not_taken() -> None:
    before, after = screen(72.0), screen(60.0)
    watch = ScaleWatch("auto", None, background=True)
    watch.claim(ROI, 0, lambda: before)
    deadline, found = time.monotonic() + 20.0, None
    t_ns = 0
    while found is None and time.monotonic() < deadline:
        time.sleep(0.01)
        t_ns += 40 * MS
        found = watch.claim(ROI, t_ns, lambda: after)
    assert found is not None
    assert 10.0 / found.spacing_rc_mm[0] == pytest.approx(60.0, rel=0.003)


def test_closing_waits_for_the_reading_that_is_under_way() -> None:
    shown, watch = screen(), ScaleWatch("auto", None, background=True)
    watch.close()  # nothing is under way
    watch.claim(ROI, 0, lambda: shown)
    deadline = time.monotonic() + 20.0
    while any(thread.name == "ruler" for thread in threading.enumerate()) and time.monotonic() < deadline:
        watch.close()
    assert not any(thread.name == "ruler" for thread in threading.enumerate())


def test_a_reader_that_fails_leaves_no_scale_and_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("usassist.sources.scale_watch.read_ruler", fail)
    watch, shown = ScaleWatch("auto", None, background=True), screen()
    with caplog.at_level(logging.INFO):
        assert watch.claim(ROI, 0, lambda: shown) is None
        deadline = time.monotonic() + 20.0
        while not any("no scale" in record.message for record in caplog.records) and time.monotonic() < deadline:
            time.sleep(0.01)
            assert watch.claim(ROI, 40 * MS, lambda: shown) is None
    assert any("the ruler could not be read" in record.message for record in caplog.records)


def play(path: Path, **options: object) -> list[Frame]:
    with open_source(f"images:{path}", session_id="s", fast=True, crop=ROI, **options) as source:  # type: ignore[arg-type]
        return list(source.frames())


def test_each_image_of_a_folder_has_its_own_scale(tmp_path: Path) -> None:
    for number, step_px in enumerate((72.0, 60.0, None, 72.0)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), screen(step_px, seed=number))
    found = [frame.spacing_rc_mm for frame in play(tmp_path)]
    assert found[2] is None
    assert [10.0 / item[0] for item in found if item is not None] == pytest.approx([72.0, 60.0, 72.0], rel=0.003)
    assert {frame.calibration_id for frame in play(tmp_path)} == {"scale_by_ruler", None}
    assert {frame.spacing_rc_mm for frame in play(tmp_path, scale="none")} == {None}


def test_a_scale_mode_is_checked() -> None:
    assert parse_scale("profile") == "profile"
    with pytest.raises(UsageError, match="auto, profile, none"):
        parse_scale("ruler")
    with pytest.raises(UsageError, match="auto, profile, none"):
        SourceOptions(session_id="s", scale="ruler")  # type: ignore[arg-type]


def test_the_ruler_is_not_looked_for_where_nothing_has_changed_beside_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def count(*arguments: Any) -> bool:
        looked.append(1)
        return ruler_is_same(*arguments)

    monkeypatch.setattr(scale_watch, "ruler_is_same", count)
    found = claims(ScaleWatch("auto", None), [72.0] * 100 + [60.0] * 30)
    assert found[:100] == [pytest.approx(72.0, rel=0.005)] * 100
    assert found[-1] is None or found[-1] == pytest.approx(60.0, rel=0.005)
    assert len(looked) <= 3, "four seconds of one depth, and one change"


@pytest.mark.skipif(not has_text_reader(), reason="the extra ocr is not installed")
def test_figures_that_change_while_the_ticks_stay_end_the_scale_at_the_next_look() -> None:
    ones, twos = speckle(), speckle()
    draw_ruler(ones, 72.0, figure_of=str)
    draw_ruler(twos, 72.0, figure_of=lambda number: str(2 * number))
    watch = ScaleWatch("auto", None)
    found = [
        None if claim is None else claim.spacing_rc_mm[0]
        for number in range(24)
        for claim in [watch.claim(ROI, number * 125 * MS, lambda number=number: ones if number < 8 else twos)]
    ]
    assert found[:8] == [pytest.approx(10.0 / 72.0, rel=0.005)] * 8
    assert found[11:] == [pytest.approx(20.0 / 72.0, rel=0.005)] * 13, "half a second later"


@pytest.mark.skipif(not has_text_reader(), reason="the extra ocr is not installed")
def test_a_mark_over_one_figure_does_not_end_the_scale() -> None:
    plain, marked = speckle(), speckle()
    for drawn in (plain, marked):
        draw_ruler(drawn, 72.0, figure_of=str)
    cv2.circle(marked, (524, 60 + 144), 8, (250,), -1)
    watch = ScaleWatch("auto", None)
    for number in range(24):
        claim = watch.claim(ROI, number * 125 * MS, lambda number=number: plain if number % 4 < 2 else marked)
        assert claim is not None
        assert claim.spacing_rc_mm[0] == pytest.approx(10.0 / 72.0, rel=0.005)
