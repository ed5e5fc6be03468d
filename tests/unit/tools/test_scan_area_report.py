from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tools.scan_area_report import measure_area
from tools.scan_screens import ScreenSet, data_screens

TRUTH = Path(__file__).resolve().parents[3] / "bench" / "scan_truth.csv"


def screen() -> npt.NDArray[np.uint8]:
    noise = cv2.GaussianBlur(np.random.default_rng(0).standard_normal((380, 320)).astype(np.float32), (0, 0), 1.2)
    out = np.zeros((480, 640, 3), np.uint8)
    out[60:440, 180:500] = np.clip(60 + 100 * noise, 2, 255).astype(np.uint8)[..., None]
    return out


@pytest.mark.parametrize(("truth", "right"), [((180, 60, 500, 440), True), ((180, 60, 500, 380), False), (None, None)])
def test_an_area_is_right_when_it_overlaps_the_truth(truth: tuple[int, int, int, int] | None, right: bool) -> None:
    row = measure_area(ScreenSet(group="g", name="n", frames=(screen(),), truth_xyxy_px=truth))
    assert row.right is right


def test_nodules_outside_the_area_are_counted_and_all_are_lost_without_an_area() -> None:
    inside, across, outside = (200, 100, 260, 160), (470, 100, 530, 160), (20, 20, 60, 60)
    boxes = (inside, across, outside)
    assert measure_area(ScreenSet(group="g", name="n", frames=(screen(),), nodules_xyxy_px=boxes)).nodules_cut == 2
    black = np.zeros((480, 640, 3), np.uint8)
    row = measure_area(
        ScreenSet(group="g", name="n", frames=(black,), truth_xyxy_px=(0, 0, 9, 9), nodules_xyxy_px=boxes)
    )
    assert (row.xyxy_px, row.right, row.nodules_cut) == (None, False, 3)


def test_sweeps_are_measured_together_and_frame_by_frame_against_the_truth_of_the_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "thyroid_cine"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    mask = np.zeros((480, 640), np.uint8)
    mask[100:150, 200:260] = 255
    for number in range(3):
        cv2.imwrite(str(folder / "images" / f"01_{number:03d}.jpg"), screen())
        cv2.imwrite(str(folder / "masks" / f"01_{number:03d}.png"), mask if number else 0 * mask)
    sets = list(data_screens(tmp_path))
    assert [(item.group, item.name, len(item.frames)) for item in sets] == [
        ("thyroid_cine, sweeps", "01", 3),
        *(("thyroid_cine, single frames", f"01_{number:03d}", 1) for number in range(3)),
    ]
    assert sets[0].nodules_xyxy_px == ((200, 100, 260, 150),) * 2
    assert [len(item.nodules_xyxy_px) for item in sets[1:]] == [0, 1, 1]
    assert {item.truth_xyxy_px for item in sets} == {(0, 16, 512, 329)}


def test_the_truth_names_each_screen_once_with_a_rectangle() -> None:
    with TRUTH.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["set"], row["name"]) for row in rows}) == len(rows) > 800
    assert all(int(row["x1"]) < int(row["x2"]) and int(row["y1"]) < int(row["y2"]) for row in rows)
