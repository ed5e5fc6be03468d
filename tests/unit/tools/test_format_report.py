"""Outlines come back from every format as they were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

for _module in ("nrrd", "nibabel", "pycocotools", "highdicom"):
    pytest.importorskip(
        _module, reason=f"{_module} is not installed: pip install 'usassist[volumes,dicom]' pycocotools"
    )

from tools.format_report import READERS, measure  # noqa: E402
from usassist.session import open_session  # noqa: E402

SWEEP = Path(__file__).resolve().parents[2] / "golden" / "sessions" / "sweep"


def test_every_format_gives_the_regions_back_to_the_pixel(tmp_path: Path) -> None:
    figures = measure(open_session(SWEEP), tmp_path)
    assert figures.keys() == READERS.keys()
    blurred = figures.pop("YOLO, filled as Ultralytics does")  # it adds the border
    assert 0.9 < min(blurred) < 1.0
    for name, values in figures.items():
        assert values, name
        assert min(values) == 1.0, name
