from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from usassist.errors import UsageError
from usassist.phantom.fault_scanner import FaultFrame, FaultScanner
from usassist.phantom.faults import KINDS, Fault, FaultPlan, load_faults

RATE_HZ, HW_PX = 10.0, (360, 640)


def scanner(*faults: Fault, seed: int = 5) -> FaultScanner:
    plan = FaultPlan(faults=faults)
    return FaultScanner(plan, seed=seed, rate_hz=RATE_HZ, screen_hw_px=HW_PX, loop_s=0.8)


def fault(kind: str, at_s: float = 1.0, for_s: float | None = 2.0, **settings: Any) -> Fault:
    return Fault(kind=kind, at_s=at_s, for_s=None if kind == "glitch" else for_s, settings=settings)


def pixels(frame: FaultFrame) -> npt.NDArray[np.int16]:
    assert frame.screen is not None
    return frame.screen.astype(np.int16)


def image(frame: FaultFrame) -> npt.NDArray[np.int16]:
    assert frame.scan_xyxy_px is not None
    x1, y1, x2, y2 = frame.scan_xyxy_px
    return pixels(frame)[y1:y2, x1:x2]


def change(a: FaultFrame, b: FaultFrame) -> float:
    return float(np.abs(image(a) - image(b)).mean())


def write(folder: Path, text: str) -> Path:
    path = folder / "faults.toml"
    path.write_text(text, encoding="utf-8")
    return path


# ---- the fault file ----


def test_fault_file_is_read_with_its_settings_and_defaults(tmp_path: Path) -> None:
    text = """
    schema = 1
    [[fault]]
    kind = "depth"
    at_s = 9
    for_s = 3
    depth_mm = 55
    [[fault]]
    kind = "unplug"
    at_s = 2.5
    for_s = 1
    [[fault]]
    kind = "glitch"
    at_s = 6
    """
    plan = load_faults(write(tmp_path, text))
    assert [item.as_dict() for item in plan.faults] == [
        {"kind": "unplug", "at_s": 2.5, "for_s": 1, "how": "silent"},
        {"kind": "glitch", "at_s": 6, "shows": "torn"},
        {"kind": "depth", "at_s": 9, "for_s": 3, "depth_mm": 55},
    ]
    assert plan.end_s == 12
    assert plan.faults[1].numbers(30.0) == range(180, 181)
    assert plan.faults[0].numbers(30.0) == range(75, 105)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 2", "schema is 2"),
        ("[[fault]]\nkind = 'black'", "schema is None"),
        ("schema = 1\nspeed = 3", "unknown key speed"),
        ("schema = 1\nfault = 3", r"\[\[fault\]\]"),
        ("schema = 1\n[[fault]]\nat_s = 1", "no kind"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nfor_s = 1", "no at_s"),
        ("schema = 1\n[[fault]]\nkind = 'fire'\nat_s = 1\nfor_s = 1", "'fire'.*choose one of freeze"),
        ("schema = 1\n[[fault]]\nkind = ['x']\nat_s = 1\nfor_s = 1", "choose one of freeze"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nat_s = 1", "for_s must"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nat_s = 1\nfor_s = 0", "for_s must"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nat_s = -1\nfor_s = 1", "at_s must"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nat_s = true\nfor_s = 1", "at_s must"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nat_s = nan\nfor_s = 1", "at_s must"),
        ("schema = 1\n[[fault]]\nkind = 'glitch'\nat_s = 1\nfor_s = 1", "leave out for_s"),
        ("schema = 1\n[[fault]]\nkind = 'black'\nat_s = 1\nfor_s = 1\nhow = 'x'", "unknown key how"),
        ("schema = 1\n[[fault]]\nkind = 'unplug'\nat_s = 1\nfor_s = 1\nhow = 'x'", "silent, closed"),
        ("schema = 1\n[[fault]]\nkind = 'zoom'\nat_s = 1\nfor_s = 1\nfactor = 0.5", "factor must lie in"),
        ("schema = 1\n[[fault]]\nkind = 'resolution'\nat_s = 1\nfor_s = 1\nsize_hw_px = [577, 720]", "even"),
        ("schema = 1\n[[fault]]\nkind = 'freeze'\nat_s = 1\nfor_s = 1\ngrabber_noise = 1", "must be bool"),
        ("schema = ", "cannot be read"),
    ],
)
def test_an_invalid_fault_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_faults(write(tmp_path, text))
    assert "faults.toml" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_missing_fault_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        load_faults(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("black", "menu"),
        ("depth", "unplug"),
        ("freeze", "paused_probe"),
        ("depth", "zoom"),
        ("corrupt", "corrupt"),
        ("noise", "black"),
        ("black", "glitch"),
        ("repeat", "freeze"),
    ],
)
def test_faults_that_exclude_each_other_are_refused(first: str, second: str) -> None:
    with pytest.raises(UsageError, match=f"{first} at 1 s and fault {second} at 2 s exclude each other"):
        FaultPlan(faults=(fault(second, 2.0), fault(first, 1.0)))
    assert len(FaultPlan(faults=(fault(second, 3.0), fault(first, 1.0))).faults) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [("freeze", "menu"), ("depth", "colour_box"), ("black", "corrupt"), ("corrupt", "frame_rate"), ("zoom", "glitch")],
)
def test_compatible_faults_may_overlap(first: str, second: str) -> None:
    assert len(FaultPlan(faults=(fault(first, 1.0), fault(second, 2.0))).faults) == 2


def test_plan_of_all_kinds_has_every_kind_with_normal_scanning_around_each() -> None:
    plan = FaultPlan.all_kinds(for_s=2.0, gap_s=3.0)
    assert {item.kind for item in plan.faults} == set(KINDS)
    assert plan.faults[0].at_s == 3.0
    gaps = [b.at_s - a.until_s for a, b in zip(plan.faults, plan.faults[1:], strict=False)]
    assert gaps == pytest.approx([3.0] * len(gaps))


# ---- the frames ----


def test_same_seed_gives_the_same_pixels_and_no_two_frames_are_alike() -> None:
    one, other = scanner(), scanner()
    frames = [one.at(k) for k in range(30)]
    assert [frame.number for frame in frames] == list(range(30))
    for frame in (frames[3], frames[29]):
        np.testing.assert_array_equal(pixels(frame), pixels(other.at(frame.number)))
    assert len({pixels(frame).tobytes() for frame in frames}) == 30
    assert not np.array_equal(pixels(frames[0]), pixels(scanner(seed=6).at(0)))


def test_image_changes_in_every_frame_also_where_the_sweep_reverses() -> None:
    moving = scanner(fault("paused_probe", at_s=4.0, for_s=1.0))
    frames = list(moving.frames(3.2))
    still = change(moving.at(43), moving.at(44))
    steps = [change(a, b) for a, b in itertools.pairwise(frames)]
    assert min(steps) > 2.0 * still


def test_frozen_image_is_static_while_clock_and_grabber_noise_continue() -> None:
    frozen = scanner(fault("freeze", for_s=3.0), fault("freeze", at_s=6.0, for_s=3.0, grabber_noise=False))
    before, first, last, after = (frozen.at(k) for k in (9, 10, 39, 40))
    assert np.abs(image(first) - image(before)).max() <= 2
    assert np.abs(image(last) - image(before)).max() <= 2
    assert not np.array_equal(image(first), image(last))
    banner = np.s_[: before.scan_xyxy_px[1] if before.scan_xyxy_px else 0]
    assert np.abs(pixels(last)[banner] - pixels(first)[banner]).max() > 50
    assert change(last, after) > 2.0
    np.testing.assert_array_equal(image(frozen.at(60)), image(frozen.at(89)))
    assert not np.array_equal(pixels(frozen.at(60)), pixels(frozen.at(89)))


def test_repeated_frame_is_identical_clock_included() -> None:
    repeated = scanner(fault("repeat", for_s=3.0), fault("repeat", at_s=9.0))
    for number in (10, 25, 39):
        np.testing.assert_array_equal(pixels(repeated.at(number)), pixels(repeated.at(9)))
    assert not np.array_equal(pixels(repeated.at(40)), pixels(repeated.at(9)))
    np.testing.assert_array_equal(pixels(scanner(fault("repeat", at_s=0.0)).at(5)), pixels(scanner().at(0)))


def test_paused_probe_keeps_its_noise_and_the_sweep_continues_where_it_stopped() -> None:
    paused, plain = scanner(fault("paused_probe")), scanner()
    frames = [paused.at(k) for k in range(9, 30)]
    steps = [change(a, b) for a, b in itertools.pairwise(frames)]
    assert min(steps) > 0.8
    assert max(steps) < 1.3 * min(steps)
    assert change(paused.at(30), plain.at(10)) < 1.3 * max(steps)


@pytest.mark.parametrize("kind", ["black", "noise", "no_signal", "unplug"])
def test_without_a_signal_there_is_no_ultrasound_image(kind: str) -> None:
    gone = scanner(fault(kind))
    frames = [gone.at(k) for k in range(10, 30)]
    assert {frame.scan_xyxy_px for frame in frames} == {None}
    assert gone.at(9).scan_xyxy_px == gone.at(30).scan_xyxy_px == gone.scan_xyxy_px
    if kind == "unplug":
        assert {frame.screen is None for frame in frames} == {True}
        return
    screen = pixels(frames[0])
    if kind == "black":
        assert screen.max() <= 1
    elif kind == "noise":
        assert screen.std() > 40
        assert np.abs(screen - pixels(frames[1])).mean() > 30
    else:
        assert np.median(screen.reshape(-1, 3), axis=0).tolist() == [16, 24, 168]
        assert (screen == 235).any()


@pytest.mark.parametrize("kind", ["depth", "layout", "dual", "resolution"])
def test_another_layout_moves_the_image_and_is_reverted(kind: str) -> None:
    changed = scanner(fault(kind))
    assert changed.at(9).scan_xyxy_px == changed.at(30).scan_xyxy_px == changed.scan_xyxy_px
    assert changed.at(10).scan_xyxy_px == changed.at(29).scan_xyxy_px != changed.scan_xyxy_px
    assert pixels(changed.at(15)).shape == ((576, 720, 3) if kind == "resolution" else (360, 640, 3))
    assert image(changed.at(15)).std() > 20
    assert change(changed.at(15), changed.at(16)) > 1.0


def test_zoom_shows_the_upper_middle_larger_with_another_ruler() -> None:
    zoomed, plain = scanner(fault("zoom", factor=2.0)), scanner()
    assert zoomed.at(15).scan_xyxy_px == plain.scan_xyxy_px
    x1, y1, x2, y2 = plain.scan_xyxy_px
    height, width = (y2 - y1) // 2, (x2 - x1) // 2
    cut = image(plain.at(15))[:height, width // 2 : width // 2 + width, 0]
    seen = image(zoomed.at(15))[::2, ::2, 0][: cut.shape[0], : cut.shape[1]]
    assert np.corrcoef(cut[: seen.shape[0]].ravel(), seen.ravel())[0, 1] > 0.8
    ruler = np.s_[y1:y2, x2 + 2 : x2 + 20]
    assert np.abs(pixels(zoomed.at(15))[ruler] - pixels(plain.at(15))[ruler]).max() > 50


def test_colour_box_brings_colour_and_a_menu_covers_the_middle() -> None:
    def colour(frame: FaultFrame) -> int:
        return int((np.ptp(image(frame), axis=2) > 60).sum())

    coloured, covered = scanner(fault("colour_box")), scanner(fault("menu"))
    assert colour(coloured.at(9)) == 0
    assert colour(coloured.at(15)) > 1000
    middle = image(covered.at(15))[80:100, 100:140]
    assert middle.std() < 0.5 * image(covered.at(9))[80:100, 100:140].std()
    assert change(covered.at(15), covered.at(9)) > 10


def test_lower_frame_rate_sends_fewer_frames_or_repeats_each() -> None:
    fewer = scanner(fault("frame_rate", rate_hz=4.0))
    sent = [k for k in range(10, 30) if fewer.at(k).screen is not None]
    assert sent[0] == 10
    assert len(sent) == 8
    repeated = scanner(fault("frame_rate", rate_hz=5.0, how="repeated"))
    frames = [repeated.at(k) for k in range(10, 30)]
    steps = [int(np.abs(image(a) - image(b)).max()) for a, b in itertools.pairwise(frames)]
    assert all(step <= 2 for step in steps[::2])
    assert all(step > 10 for step in steps[1::2])


def test_glitch_is_one_single_frame() -> None:
    for shows in ("torn", "black", "noise"):
        glitched, plain = scanner(fault("glitch", shows=shows)), scanner()
        for number in (9, 11):
            np.testing.assert_array_equal(pixels(glitched.at(number)), pixels(plain.at(number)))
        assert np.abs(pixels(glitched.at(10)) - pixels(plain.at(10))).mean() > 3


def test_stream_faults_are_reported_and_do_not_change_pixels() -> None:
    streamed = scanner(fault("corrupt", share=0.3), fault("unplug", at_s=4.0, for_s=1.0, how="closed"))
    assert streamed.at(15).corrupt_share == 0.3
    np.testing.assert_array_equal(pixels(streamed.at(15)), pixels(scanner().at(15)))
    assert [streamed.at(k).closed for k in (39, 40, 49, 50)] == [False, True, True, False]
    assert [streamed.at(k).active for k in (9, 10, 30, 40)] == [(), (0,), (), (1,)]


def test_frozen_image_can_have_a_menu_over_it_and_glitch_at_another_size() -> None:
    both = scanner(fault("freeze", for_s=4.0), fault("menu", at_s=2.0, for_s=1.0))
    assert both.at(25).active == (0, 1)
    assert np.abs(pixels(both.at(22)) - pixels(both.at(28))).max() <= 2  # within one second of the clock
    small = scanner(fault("resolution"), fault("glitch", at_s=2.0, shows="noise"))
    assert pixels(small.at(20)).shape == pixels(small.at(19)).shape == (576, 720, 3)


def test_odd_sizes_and_frames_before_the_first_are_refused() -> None:
    with pytest.raises(UsageError, match="odd"):
        FaultScanner(FaultPlan(), screen_hw_px=(361, 640))
    with pytest.raises(UsageError, match="no frame -1"):
        scanner().at(-1)
