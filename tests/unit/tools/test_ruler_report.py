from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.sources.ruler_screens import draw_ruler, speckle
from tools.ruler_report import main, measure_ruler
from tools.scan_screens import LABEL_GROUPS, ScreenSet, label_screens
from usassist.errors import UsageError
from usassist.sources.ruler import NoRuler, RulerReading
from usassist.sources.ruler.text_reader import has_text_reader


def screens(step_px: float | None, truth_mm: float | None = None) -> ScreenSet:
    screen = speckle()
    if step_px is not None:
        draw_ruler(screen, step_px)
    rgb = np.repeat(screen[:, :, None], 3, axis=2)
    truth = None if truth_mm is None else (truth_mm, truth_mm)
    return ScreenSet(group="g", name="n", frames=(rgb,), spacing_rc_mm=truth)


def test_a_scale_is_compared_with_the_truth() -> None:
    row, answer = measure_ruler(screens(72.0, 10.0 / 71.28))
    assert isinstance(answer, RulerReading)
    assert (row.cause, row.by) == ("", "alike")
    assert row.error == pytest.approx(0.01, abs=0.002)
    assert measure_ruler(screens(72.0))[0].error is None


def test_a_screen_without_a_scale_has_a_cause() -> None:
    row, answer = measure_ruler(screens(None))
    assert isinstance(answer, NoRuler)
    assert (row.cause, row.spacing_rc_mm) == ("no_ruler", None)
    black = ScreenSet(group="g", name="n", frames=(np.zeros((480, 640, 3), np.uint8),))
    assert measure_ruler(black)[0].cause == "no_scan_area"


def test_the_report_has_every_screen_and_the_sheet_shows_the_ticks(tmp_path: Path) -> None:
    folder = tmp_path / "screens"
    folder.mkdir()
    for number, step_px in enumerate((72.0, None)):
        cv2.imwrite(str(folder / f"{number}.png"), screens(step_px).frames[0])
    main([folder], out=tmp_path / "out", every=1, phantoms=0, labels=0, cost=False)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert [row["cause"] for row in report] == ["", "no_ruler"]
    (sheet,) = (tmp_path / "out").glob("*.png")
    drawn = cv2.imread(str(sheet))
    assert drawn is not None
    assert (drawn == (60, 255, 60)).all(axis=2).any()  # the ticks


@pytest.mark.skipif(not has_text_reader(), reason="the extra ocr is not installed")
def test_phantom_screens_with_depth_labels_are_judged_by_their_truth() -> None:
    rows = {item.group: measure_ruler(item)[0] for item in label_screens(len(LABEL_GROUPS))}
    assert [group.removeprefix("phantom, label ") for group in rows] == list(LABEL_GROUPS)
    right = rows.pop("phantom, label right")
    assert right.by == "label"
    assert right.error is not None
    assert right.error < 0.01
    assert {row.cause for row in rows.values()} == {"step_unknown"}


def test_sheets_stay_outside_the_project() -> None:
    with pytest.raises(UsageError, match="must not lie in the project"):
        main([], out=Path(__file__).parent / "sheets", every=1, phantoms=0, labels=0, cost=False)
