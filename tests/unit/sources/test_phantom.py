from __future__ import annotations

import numpy as np
import pytest

from usassist.calibrate import Geometry
from usassist.common.clock import FakeClock
from usassist.errors import CalibrationError, UsageError
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources import open_source


def test_frames_are_the_scan_area_of_the_screen_with_its_scale() -> None:
    scanner = PhantomScanner(PhantomConfig(seed=3))
    with open_source("phantom:seed=3,seconds=10", session_id="s", count=2, clock=FakeClock()) as source:
        assert source.info.roi_xyxy_px == scanner.scan_xyxy_px
        assert source.info.frame_count == 2
        first, second = source.frames()
    assert second.t_capture_ns - first.t_capture_ns == 33_333_333
    x1, y1, x2, y2 = scanner.scan_xyxy_px
    np.testing.assert_array_equal(second.image, scanner.render(1 / 30).screen[y1:y2, x1:x2])
    assert first.spacing_rc_mm == scanner.spacing_rc_mm
    assert first.spacing_rel_sd is not None
    assert 0 < first.spacing_rel_sd < 0.01


def test_seconds_end_it_and_repeat_begins_again() -> None:
    with open_source("phantom:seconds=0.05", session_id="s", fast=True) as source:
        assert source.info.frame_count == 2
        assert len(list(source.frames())) == 2
    with open_source("phantom:seconds=0.05", session_id="s", fast=True, repeat=True, count=3) as source:
        frames = list(source.frames())
    assert [frame.frame_id for frame in frames] == [0, 1, 2]
    np.testing.assert_array_equal(frames[0].image, frames[2].image)


def test_geometry_of_another_screen_is_refused() -> None:
    geometry = Geometry(
        calibration_id="other",
        crop_xyxy_px=None,
        grab_hw_px=(100, 100),
        spacing_rc_mm=(0.1, 0.1),
        spacing_rel_sd=0.01,
    )
    with pytest.raises(CalibrationError, match="choose the calibration"):
        open_source("phantom:", session_id="s", geometry=geometry)


@pytest.mark.parametrize("settings", ["seed=x", "seconds=0", "seconds=inf", "depth=4", "seed=1,seed=2"])
def test_bad_settings_are_refused_with_a_remedy(settings: str) -> None:
    with pytest.raises(UsageError, match=r"source phantom.*; (give|write)"):
        open_source(f"phantom:{settings}", session_id="s")
