"""Boxes as truth: the CSV file, its checks, and the tally of a frame with boxes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.evaluation.scenes import LABELS, SIZE_HW_PX, bright_ellipse_engine, counted, frame
from usassist.errors import ConfigError, SourceError
from usassist.evaluation import run_frames, tally
from usassist.evaluation.box_reports import box_report, box_rows, collect_box_frames
from usassist.evaluation.boxes import cases_of_rows, fill_boxes, list_boxed, read_box_rows, read_boxed
from usassist.evaluation.cases import Cases
from usassist.evaluation.images import Skipped
from usassist.evaluation.looks import looks_of_rows
from usassist.evaluation.metrics import box_overlaps
from usassist.evaluation.tally import score_frame


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of 30 x 20 px, and one that cannot be read."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, name in enumerate(("a", "b", "c")):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((20, 30), 40 * index, np.uint8))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def write(images, text):
    path = images.parent / "boxes.csv"
    path.write_text(text)
    return path


def read(images, text, part=None, names=None):
    path = write(images, text)
    skipped: list[Skipped] = []
    rows = read_box_rows(path, part)
    boxed = list_boxed(images, path, rows, names, skipped, name_rest=part is None)
    return list(read_boxed(boxed, Cases(cases_of_rows(path, rows)), skipped)), skipped


def boxed(name, ellipses, boxes):
    """A frame whose bright ellipses are detections of the fake engine, with boxes for truth."""
    shown = frame(name, ellipses)
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return dataclasses.replace(shown, truth=fill_boxes(boxes, shown.image.shape), boxes_xyxy_px=boxes)


def run(frames, score=0.9):
    return run_frames(bright_ellipse_engine(score), SIZE_HW_PX, LABELS, frames)


def test_a_file_of_another_user_is_read(images):
    frames, skipped = read(
        images,
        "\ufeffFile, Reader, x1, y1, x2, y2\nsweeps/b.png,me,1,2,11,12.5\nb.png,me,20,2,29,9\n\na,me,,,,\n",
    )
    assert [item.name for item in frames] == ["b", "a"]
    assert frames[0].boxes_xyxy_px.tolist() == [[1, 2, 11, 12.5], [20, 2, 29, 9]]
    assert frames[0].truth[2:12, 1:11].all()
    assert frames[1].boxes_xyxy_px.shape == (0, 4)
    assert not frames[1].truth.any()
    assert [(item.name, item.reason) for item in skipped] == [
        ("broken", "no row in boxes.csv"),
        ("c", "no row in boxes.csv"),
    ]


def test_part_and_names_choose_rows(images):
    text = "id,part,x1,y1,x2,y2\na,val,1,1,5,5\nb,train,1,1,5,900\nc,val,1,1,5,5\n"
    assert [item.name for item in read(images, text, "val")[0]] == ["a", "c"]
    frames, skipped = read(images, text, "val", ["c", "b"])
    assert [item.name for item in frames] == ["c"]
    assert [(item.name, item.reason) for item in skipped] == [("b", "no row in boxes.csv")]
    with pytest.raises(ConfigError, match=r"no row of part test; known: train, val"):
        read(images, text, "test")


def test_cases_and_looks_of_the_file(images):
    text = "id,case,original_width,original_height,x1,y1,x2,y2\na,p1,718,500,1,1,5,5\nb,p1,819,600,1,1,5,5\n"
    assert [item.case for item in read(images, text)[0]] == ["p1", "p1"]
    path = write(images, text)
    assert looks_of_rows(path, read_box_rows(path)) == {"a": "718x500", "b": "819x600"}
    with pytest.raises(ConfigError, match=r"line 3 \(a\): case p2, before p1"):
        read(images, "id,case,x1,y1,x2,y2\na,p1,1,1,5,5\na,p2,6,6,9,9\n")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,30,20,5,5,5,9", r"line 2 \(a\): box 5, 5, 5, 9 is empty"),
        ("a,30,20,9,5,4,9", "is empty"),
        ("a,30,20,1,1,31,9", r"outside of the image, 30 x 20 px"),
        ("a,30,20,-2,1,5,9", "outside of the image"),
        ("a,30,20,1,1,nan,9", "is not four numbers"),
        ("a,30,20,1,1,,9", "is not four numbers"),
        ("a,31,20,1,1,5,9", r"size 31 x 20, the image has 30 x 20"),
        ("gone,30,20,1,1,5,9", r"line 2 \(gone\): no image of this name in images"),
        ("broken,30,20,1,1,5,9", r"broken\.png"),
        ("a,30,20,1,1,5", "6 fields, 7 in the first line"),
        (",30,20,1,1,5,9", "no name of a frame"),
        ("a,30,20,,,,\na,30,20,1,1,5,9", "no box, and another row"),
    ],
)
def test_a_bad_row_is_named_before_the_run(images, row, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read(images, f"id,width,height,x1,y1,x2,y2\n{row}\nb,30,20,1,1,5,5\n")
    assert str(raised.value).endswith("correct these rows")


def test_of_many_bad_rows_the_first_five_are_named(images):
    rows = "".join(f"a,{index},0,{index},9\n" for index in range(8))
    with pytest.raises(ConfigError, match="and 3 more; correct"):
        read(images, f"id,x1,y1,x2,y2\n{rows}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x1,y1,x2\na,1,1,5\n", "no column y2"),
        ("frame,x1,y1,x2,y2\na,1,1,5,5\n", "no column id or file or name"),
        ("id,x1,y1,x2,y2,x1\na,1,1,5,5,6\n", "two columns of one name"),
        ("id,x1,y1,x2,y2\n", "has no rows"),
        ("", "no column"),
    ],
)
def test_a_file_without_what_is_needed_is_refused(images, text, message):
    with pytest.raises(ConfigError, match=message):
        read(images, text)


def test_a_part_needs_its_column_and_a_file_must_be_there(images):
    with pytest.raises(ConfigError, match="no column part"):
        read(images, "id,x1,y1,x2,y2\na,1,1,5,5\n", "val")
    with pytest.raises(SourceError, match="cannot be read"):
        read_box_rows(images / "none.csv")


def test_a_box_may_leave_its_image_by_what_rounding_takes(images):
    frames, _ = read(images, "id,x1,y1,x2,y2\na,-0.3,0,30.4,20\n")
    assert frames[0].boxes_xyxy_px.tolist() == [[0, 0, 30, 20]]


def test_overlaps_of_boxes_counted_by_hand():
    found = np.array([[0, 0, 10, 10], [20, 20, 30, 40]], np.float32)
    marked = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [25, 20, 30, 30]], np.float64)
    expected = [[1, 50 / 150, 0], [0, 0, 50 / 200]]
    np.testing.assert_allclose(box_overlaps(found, marked), expected)
    assert box_overlaps(found[:0], marked).shape == (0, 3)


def test_a_frame_with_boxes_is_tallied_by_boxes_and_has_no_dice():
    tallied = tally(next(run([boxed("1_1", [(200, 150, 50, 30)], [[150, 120, 251, 181]])])))
    assert tallied.is_boxed
    assert tallied.overlap[0, 0] > 0.9
    assert tallied.nodule_px.tolist() == [101 * 61]
    assert tallied.nodule_diameter_px.tolist() == [101.0]
    score = score_frame(tallied, 0.5)
    assert score.hits == (True,)
    assert score.false_positives == 0
    assert np.isnan(score.dice)
    assert abs(score.diameter_rel_error[0]) < 0.05


def test_found_at_an_iou_of_03_and_not_of_05():
    # The ellipse is 101 x 61 px; the box marked is as high and more than twice as wide.
    outcomes = run([boxed("1_1", [(200, 150, 50, 30)], [[150, 120, 381, 181]])])
    report = box_report(collect_box_frames(outcomes, 0.5), 0.5, None, None)
    assert report["figures"]["sensitivity"].value == 1.0
    assert report["figures"]["sensitivity_iou50"].value == 0.0
    assert report["figures"]["side_rel_bias"].value == pytest.approx(101 / 231 - 1, abs=0.03)


def test_the_report_of_frames_with_boxes():
    pytest.importorskip("sklearn", reason="needs the extra `eval`")
    ellipse, box = (200, 150, 50, 30), [150, 120, 251, 181]
    frames = [
        boxed("1_1", [ellipse, (380, 220, 40, 25)], [box]),  # found, and something else
        boxed("2_1", [], [box]),  # missed
        boxed("3_1", [ellipse], []),  # without a nodule
        boxed("4_1", [ellipse, (380, 220, 40, 25)], [box, [340, 195, 421, 246]]),
    ]
    collected = collect_box_frames(run(frames), 0.5)
    looks = {"1_1": "old", "2_1": "old", "4_1": "new"}
    report = box_report(collected, 0.5, None, looks)
    assert report["counts"]["nodules"] == 4
    assert report["counts"]["marked_frames_with_nothing_found"] == 1
    assert report["figures"]["sensitivity"].value == 0.75
    assert report["figures"]["false_positives_per_frame"].value == 0.5
    assert set(report["froc"]["at"]) == {"0.05", "0.1", "0.15", "0.2", "0.5"}
    assert report["froc"]["at"]["0.5"].value == 0.75
    assert report["slices"]["view"]["single"].dice_mean.count == 0
    assert list(report["looks"]) == ["old", "new", "unknown"]
    assert (report["looks"]["old"].sensitivity.value, report["looks"]["new"].sensitivity.value) == (0.5, 1.0)
    assert report["looks"]["unknown"].false_positives_per_frame.value == 1.0
    assert report["looks"]["old"].ece.count == 2
    rows = box_rows(collected, 0.5, [Skipped(name="5_1", reason="no image")])
    assert [row["hits"] for row in rows] == [1, 0, 0, 2, None]
    assert rows[1]["best_iou"] == 0.0
    assert rows[2]["state"] == "evaluated, nothing marked"
    assert rows[4]["state"] == "skipped: no image"
    assert collected.tiles[0].key[1] == "2_1"


def test_frames_with_masks_are_scored_as_before():
    assert score_frame(counted("1_1", [0.9], [[0.8]]), 0.5).dice > 0.8
    assert score_frame(counted("1_1", [0.9], [[0.4]]), 0.5, 0.5).hits == (False,)


def test_the_boxes_of_tn5000_fit_their_images():
    root = os.environ.get("USASSIST_DATA")
    if not root or not (Path(root) / "thyroid_tn5000").is_dir():
        pytest.skip("USASSIST_DATA names no folder with thyroid_tn5000")
    folder = Path(root) / "thyroid_tn5000"
    rows = read_box_rows(folder / "boxes.csv", "val")
    frames = list_boxed(folder / "images", folder / "boxes.csv", rows, None, [])
    assert len(frames) == len(rows) == 490
    looks = looks_of_rows(folder / "boxes.csv", rows)
    assert sum(look == "718x500" for look in looks.values()) == 386
