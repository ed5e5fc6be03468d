"""Sizes as an engine's task gives them: which are bounds, and what the uncertainty of the ratio is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.samples import bright_engine
from usassist import Engine, FrameResult
from usassist.engine import find_engine

pytest.importorskip("onnx", reason="the engine of these tests is made with onnx")

_MEASURED = """
[measurement]
diameter_rel_sd = 0.1
source = "tests"

[measurement.ap_t]
rel_sd = 0.04
source = "tests"
"""


def _image() -> np.ndarray:
    """Two bright ellipses on grey noise; the right border of the image cuts the second."""
    image = np.random.default_rng(0).integers(40, 110, (256, 384)).astype(np.uint8)
    cv2.ellipse(image, (120, 128), (32, 24), 0, 0, 360, 230, -1)
    cv2.ellipse(image, (370, 128), (32, 24), 0, 0, 360, 230, -1)
    return image


def _answer(engines: Path, spacing_mm: tuple[float, float] | None = (0.1, 0.1)) -> FrameResult:
    scale = {} if spacing_mm is None else {"spacing_mm": spacing_mm, "spacing_rel_sd": 0.02}
    with Engine("bright", backend="onnxruntime", engines=engines, **scale) as engine:  # type: ignore[arg-type]
        return engine(_image())


def test_a_nodule_at_the_border_has_a_bound_and_one_inside_a_size(tmp_path: Path) -> None:
    engines = bright_engine(tmp_path)
    toml = engines / "bright/1.0.0/engine.toml"
    toml.write_text(toml.read_text() + _MEASURED)
    assert find_engine("bright", engines).ap_t_rel_sd == 0.04
    result = _answer(engines)
    sizes, left = result.sizes, result.boxes_xyxy_px[:, 0]
    whole, cut = int(np.argmin(left)), int(np.argmax(left))
    assert len(sizes) == 2
    assert [sizes.is_cut(row) for row in (whole, cut)] == [False, True]
    assert str(sizes.ap_t_state(whole)) == "wider"
    assert sizes.ap_t_state(cut) is None
    nodules = result.to_dict()["nodules"]
    assert nodules[whole]["major_u95_mm"] > 0
    assert nodules[cut]["major_u95_mm"] is None
    assert nodules[cut]["major_mm"] == pytest.approx(float(sizes.major_mm[cut]), abs=1e-3)  # type: ignore[index]
    low, high = float(sizes.ap_t_low[whole]), float(sizes.ap_t_high[whole])  # type: ignore[index]
    assert np.log(high / low) / 4.0 == pytest.approx(0.04, rel=0.1)  # the scale cancels, the pixel grid adds a little


def test_without_an_uncertainty_of_the_engine_there_are_bounds_in_px(tmp_path: Path) -> None:
    engines = bright_engine(tmp_path)
    assert find_engine("bright", engines).ap_t_rel_sd is None
    sizes = _answer(engines).sizes
    assert not sizes.calibrated
    assert sorted(sizes.is_cut(row) for row in range(len(sizes))) == [False, True]
    assert sizes.ap_t is not None
    assert sizes.ap_t_low is None
