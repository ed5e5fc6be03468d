from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import ConfigError
from usassist.training.data.boxed import load_boxed, read_boxes
from usassist.training.data.boxes import box_of_mask, box_plane, ellipse_mask, ellipse_plane


def test_the_plane_of_a_box_has_its_area_and_partial_pixels():
    plane = box_plane(np.array([2.5, 1.0, 6.0, 3.25]), (5, 8))
    assert plane.shape == (5, 8)
    assert plane.sum() == pytest.approx(3.5 * 2.25)
    assert plane[1, 2] == pytest.approx(0.5)
    assert plane[3, 4] == pytest.approx(0.25)


def boxes_csv(folder, *rows):
    (folder / "images").mkdir(exist_ok=True)
    head = "id,part,width,height,original_width,original_height,class,x1,y1,x2,y2\n"
    (folder / "boxes.csv").write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    grey = np.random.default_rng(0).integers(30, 200, (150, 200)).astype(np.uint8)
    for row in rows:
        cv2.imwrite(str(folder / "images" / f"{row.split(',')[0]}.jpg"), grey)


def test_boxed_frames_have_an_ellipse_or_the_outline_of_a_teacher(tmp_path):
    boxes_csv(
        tmp_path,
        "a,train,200,150,718,500,benign,60,40,120,90",
        "b,train,200,150,818,628,benign,60,40,120,90",
        "c,val,200,150,718,500,benign,0,0,9,9",
    )
    outlines = tmp_path / "outlines"
    outlines.mkdir()
    outline = np.zeros((150, 200), np.uint8)
    outline[50:80, 70:110] = 255
    cv2.imwrite(str(outlines / "b.png"), outline)
    (outlines / "outlines.csv").write_text("name,kept\na,0\nb,1\n", encoding="utf-8")
    box, drawn = load_boxed(tmp_path, "train", outlines)
    assert (box.name, box.look, box.outline_known, box.all_marked) == ("a", "718x500", False, False)
    assert (drawn.name, drawn.look, drawn.outline_known) == ("b", "818x628", True)
    assert abs(int(box.nodule.sum()) - np.pi * 30 * 25) < 30
    assert box.nodule.any(0).sum() == 60
    assert box.nodule.any(1).sum() == 50
    assert drawn.nodule.sum() == 30 * 40


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("120,40,60,90", "empty or outside"),
        ("60,40,61,90", "empty or outside"),
        ("60,40,60,90", "empty or outside"),
        ("60,40,260,90", "empty or outside"),
        ("-20,40,60,90", "empty or outside"),
        ("60,40,120,151.5", "empty or outside"),
        ("nan,40,120,90", "is no number"),
        ("x,40,120,90", "is no number"),
        ("60,40,120", "is no number"),
    ],
)
def test_a_bad_box_is_named_before_any_frame_is_read(tmp_path, box, message):
    boxes_csv(tmp_path, "b,train,200,150,718,500,benign,60,40,120,90", f"a,train,200,150,718,500,benign,{box}")
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=rf"boxes\.csv: the box (or size )?of a .*{message}"):
        load_boxed(tmp_path, "train")


def test_a_rounded_box_may_stand_one_pixel_outside(tmp_path):
    boxes_csv(tmp_path, "a,train,200,150,718,500,benign,-1,40,120,151")
    (row,) = read_boxes(tmp_path, "train")
    assert row.box_xyxy_px.tolist() == [-1, 40, 120, 151]
    assert (row.name, row.size_hw_px, row.look) == ("a", (150, 200), "718x500")
    with pytest.raises(ConfigError, match="no frame of part 'val'"):
        read_boxes(tmp_path, "val")


def test_the_ellipse_of_a_box_is_where_its_plane_is_a_half():
    box = np.array([10.5, 3.0, 61.25, 40.0])
    mask = ellipse_mask(box, (50, 80))
    np.testing.assert_array_equal(mask, ellipse_plane(box, (50, 80)) >= 0.5)
    np.testing.assert_allclose(box_of_mask(mask), box, atol=1.0)


def test_missing_boxes_frames_and_outlines_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"boxes\.csv cannot be read"):
        load_boxed(tmp_path, "train")
    boxes_csv(tmp_path, "a,train,200,150,718,500,benign,60,40,120,90")
    with pytest.raises(ConfigError, match=r"outlines\.csv cannot be read"):
        load_boxed(tmp_path, "train", tmp_path)
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.zeros((150, 190), np.uint8))
    with pytest.raises(ConfigError, match=r"a\.jpg cannot be read or is not 200x150 px"):
        load_boxed(tmp_path, "train")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(ConfigError, match=r"a\.jpg cannot be read"):
        load_boxed(tmp_path, "train")
    (tmp_path / "boxes.csv").write_text("id,part\na,train\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no column width"):
        load_boxed(tmp_path, "train")
