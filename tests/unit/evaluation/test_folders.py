from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import ConfigError, SourceError
from usassist.evaluation.cases import Cases, read_cases, read_names, read_tirads
from usassist.evaluation.folders import list_negatives, list_pairs, read_negatives, read_pairs
from usassist.evaluation.images import read_grey, read_mask


@pytest.fixture
def folders(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    return tmp_path / "images", tmp_path / "masks"


def save(path, level, shape=(20, 30), dtype=np.uint8):
    image = np.full(shape, level, dtype)
    image[0, 0] = len(path.stem)  # no two names give the same image
    cv2.imwrite(str(path), image)


def read(folders, names=None, cases=None):
    skipped = []
    pairs = list_pairs(*folders, names, skipped)
    frames = list(read_pairs(pairs, Cases(cases), skipped))
    return frames, {item.name: item.reason for item in skipped}


def test_every_file_is_used_or_reported_with_the_reason(folders):
    images, masks = folders
    for name in ("1_1", "lonely", "small", "broken", "grey"):
        save(images / f"{name}.png", 90)
    for name in ("1_1", "orphan", "broken"):
        save(masks / f"{name}.png", 255)
    save(masks / "small.png", 255, (20, 29))
    save(masks / "grey.png", 60)
    (images / "broken.png").write_bytes(b"no image")
    (images / "notes.txt").write_text("x")
    save(images / "1_1.bmp", 90)
    frames, skipped = read(folders)
    assert [item.name for item in frames] == ["1_1"]
    assert skipped["lonely"] == "no mask"
    assert skipped["orphan"] == "no image"
    assert skipped["small"] == "image 30 x 20 px, mask 29 x 20 px"
    assert "broken.png" in skipped["broken"]
    assert "brightest value is 60" in skipped["grey"]
    assert "not an image" in skipped["notes.txt"]
    assert "same name as 1_1.bmp" in skipped["1_1.png"]
    assert len(skipped) == 7


def test_only_the_requested_names_are_read_in_their_order(folders):
    for name in ("1_1", "2_1", "10_1"):
        save(folders[0] / f"{name}.png", 90)
        save(folders[1] / f"{name}.png", 255)
    frames, skipped = read(folders, ["10_1", "2_1", "gone"])
    assert [item.name for item in frames] == ["10_1", "2_1"]
    assert skipped == {"gone": "neither image nor mask"}
    assert [item.name for item in read(folders)[0]] == ["1_1", "2_1", "10_1"]


def test_a_case_file_is_used_and_must_list_every_frame(folders, tmp_path):
    for name in ("a", "bb"):
        save(folders[0] / f"{name}.png", 90)
        save(folders[1] / f"{name}.png", 255)
    (tmp_path / "cases.txt").write_text("a, first\nbb\tfirst\n\n")
    frames, _ = read(folders, cases=read_cases(tmp_path / "cases.txt"))
    assert [item.case for item in frames] == ["first", "first"]
    with pytest.raises(ConfigError, match="no line for bb"):
        read(folders, cases={"a": "first"})
    (tmp_path / "cases.txt").write_text("a first\na second\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_cases(tmp_path / "cases.txt")


def test_16_bit_is_scaled_over_the_whole_range_and_colour_becomes_luma(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), np.array([[0, 257 * 100, 65535]], np.uint16))
    grey, converted = read_grey(tmp_path / "deep.png")
    assert grey.tolist() == [[0, 100, 255]]
    assert converted == "16 bit"
    cv2.imwrite(str(tmp_path / "colour.png"), np.full((2, 2, 3), (0, 0, 255), np.uint8))
    grey, converted = read_grey(tmp_path / "colour.png")
    assert grey.tolist() == [[76, 76], [76, 76]]
    assert converted == "colour"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_of_0_and_1_are_masks_too(tmp_path, dtype):
    cv2.imwrite(str(tmp_path / "mask.png"), np.array([[0, 1, 1]], dtype))
    assert read_mask(tmp_path / "mask.png").tolist() == [[False, True, True]]


def test_negatives_named_by_numbers_are_grouped_in_blocks_and_others_by_name(tmp_path):
    for name in ("0224", "0225"):
        save(tmp_path / f"{name}.png", 40)
    paths = list_negatives(tmp_path, None, [])
    assert [item.case for item in read_negatives(paths, None, [])] == ["block0", "block1"]
    save(tmp_path / "7_a.png", 40)
    paths = list_negatives(tmp_path, ["7_a", "0225"], [])
    assert [item.case for item in read_negatives(paths, None, [])] == ["7", "0225"]


def test_negatives_that_cannot_be_read_are_reported(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no clip")
    (tmp_path / "0001.png").write_bytes(b"no image")
    (tmp_path / "deeper").mkdir()
    save(tmp_path / "deeper" / "x.png", 40)
    skipped = []
    assert list(read_negatives(list_negatives(tmp_path, None, skipped), None, skipped)) == []
    assert {item.name for item in skipped} == {"clip", "0001", "deeper/x.png"}


def test_a_missing_folder_and_an_empty_list_are_errors(tmp_path):
    with pytest.raises(SourceError, match="there is no folder"):
        list_pairs(tmp_path / "gone", tmp_path, None, [])
    (tmp_path / "names.txt").write_text("\n")
    with pytest.raises(SourceError, match="names no frames"):
        read_names(tmp_path / "names.txt")


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("<case><tirads>4a</tirads></case>", "4a"),
        ("<case><tirads></tirads></case>", "unknown"),
        ("<case><tirads>9</tirads></case>", "unknown"),
        ("<case><tirads>4a", "unknown"),
    ],
)
def test_tirads_is_read_or_unknown(tmp_path, text, category):
    (tmp_path / "12.xml").write_text(text)
    assert read_tirads(tmp_path, "12") == category
    assert read_tirads(tmp_path, "13") == "unknown"
