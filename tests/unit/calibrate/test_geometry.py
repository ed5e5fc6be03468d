from __future__ import annotations

from pathlib import Path

import pytest

from usassist.calibrate import load_geometry
from usassist.config import resource_dir
from usassist.errors import CalibrationError

GOOD = """
schema = 1
calibration_id = "x"
measured_on = "2026-01-01"
measured_by = "engineer"
method = "ruler"
valid_for = "test"
grab_hw_px = [720, 1280]
crop_xyxy_px = [10, 20, 110, 220]
spacing_rc_mm = [0.1, 0.2]
spacing_rel_sd = 0.01
residual = "none"
"""


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(GOOD)
    geometry = load_geometry(str(path))
    assert geometry.crop_xyxy_px == (10, 20, 110, 220)
    assert geometry.spacing_rc_mm == (0.1, 0.2)
    assert geometry.grab_hw_px == (720, 1280)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("schema = 1", "schema = 2", "update usassist"),
        ("spacing_rel_sd = 0.01", "", "spacing_rc_mm and spacing_rel_sd go together"),
        ("spacing_rel_sd = 0.01", "spacing_rel_sd = -0.01", "spacing must be positive"),
        ('residual = "none"', 'residual = "none"\nextra = 1', "unknown keys \\['extra'\\]"),
        ("[0.1, 0.2]", "[0.1, -0.2]", "positive"),
        ("[0.1, 0.2]", "[0.1]", "2 numbers"),
        ("[10, 20, 110, 220]", "[10, 20, 1310, 220]", "does not lie on a screen"),
        ('"engineer"', "3", "measured_by must be str"),
        ("schema = 1", "schema = ", "cannot be read"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(GOOD.replace(before, after))
    with pytest.raises(CalibrationError, match=message) as caught:
        load_geometry(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CalibrationError, match=r"known: .*phantom_demo"):
        load_geometry("nosuch")


def test_every_calibration_that_ships_can_be_read() -> None:
    files = list((resource_dir("calibration") / "geometry").glob("*.toml"))
    assert files
    for file in files:
        assert load_geometry(file.stem).calibration_id


def test_a_file_may_hold_the_scan_area_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    area = "\n".join(line for line in GOOD.splitlines() if not line.startswith("spacing"))
    path.write_text(area)
    geometry = load_geometry(str(path))
    assert geometry.crop_xyxy_px == (10, 20, 110, 220)
    assert (geometry.spacing_rc_mm, geometry.spacing_rel_sd) == (None, None)
    path.write_text(area.replace("crop_xyxy_px = [10, 20, 110, 220]", ""))
    with pytest.raises(CalibrationError, match="without a spacing it needs crop_xyxy_px"):
        load_geometry(str(path))
