"""What masks tell about which nodule is which."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import SourceFormatError
from usassist.evaluation.mask_identities import IdentitiesFrom, RegionIdentities, judge_masks, read_numbered_mask
from usassist.evaluation.sweep_clips import check_clip, list_clips, read_clip

LEFT, RIGHT = np.s_[10:30, 10:30], np.s_[10:30, 60:80]


def drawn(*marked, dtype=np.uint8):
    mask = np.zeros((60, 100), dtype)
    for place, value in marked:
        mask[place] = value
    return mask


@pytest.fixture
def save(tmp_path):
    def write(*masks, suffix=".png"):
        paths = []
        for number, mask in enumerate(masks):
            paths.append(tmp_path / f"A_{number}{suffix}")
            cv2.imwrite(str(paths[-1]), mask)
        return paths

    return write


def test_values_from_1_number_the_nodules(save):
    paths = save(drawn((LEFT, 1)), drawn((LEFT, 1), (RIGHT, 2)), drawn((RIGHT, 2)), drawn())
    assert judge_masks("A", paths) is IdentitiesFrom.VALUES
    assert np.unique(read_numbered_mask(paths[1])).tolist() == [0, 1, 2]


def test_16_bit_values_are_read_as_they_are(save):
    paths = save(drawn((LEFT, 1), (RIGHT, 3), dtype=np.uint16), drawn((LEFT, 2), dtype=np.uint16))
    assert judge_masks("A", paths) is IdentitiesFrom.VALUES
    assert np.unique(read_numbered_mask(paths[0])).tolist() == [0, 1, 3]


@pytest.mark.parametrize("white", [1, 255])
def test_black_and_white_masks_tell_as_much_as_their_regions(save, white):
    one = save(drawn(), drawn((LEFT, white)), drawn((RIGHT, white)))
    assert judge_masks("A", one) is IdentitiesFrom.ONE_REGION
    two = save(drawn((LEFT, white)), drawn((LEFT, white), (RIGHT, white)))
    assert judge_masks("A", two) is IdentitiesFrom.OVERLAP
    assert judge_masks("A", save(drawn(), drawn())) is IdentitiesFrom.ONE_REGION


def test_specks_are_no_second_region(save):
    assert judge_masks("A", save(drawn((LEFT, 255), (np.s_[50:53, 50:53], 255)))) is IdentitiesFrom.ONE_REGION


def test_numbers_with_a_gap_and_masks_of_both_kinds_are_refused(save):
    with pytest.raises(SourceFormatError, match="clip A: its masks have the values 1, 3 and not 2"):
        judge_masks("A", save(drawn((LEFT, 1)), drawn((RIGHT, 3))))
    with pytest.raises(SourceFormatError, match=r"values 100 and not 1.*black and white"):
        judge_masks("A", save(drawn((LEFT, 100))))  # a black and white mask that came out grey
    with pytest.raises(SourceFormatError, match=r"A_1.png is black and white, and other masks have the values 1, 2"):
        judge_masks("A", save(drawn((LEFT, 1), (RIGHT, 2)), drawn((LEFT, 255))))


def test_values_in_a_lossy_file_are_not_numbers(save):
    with pytest.raises(SourceFormatError, match="neither black and white nor 0 and 1"):
        judge_masks("A", save(drawn((LEFT, 1), (RIGHT, 40)), suffix=".jpg"))
    assert judge_masks("A", save(drawn((LEFT, 255)), suffix=".jpg")) is IdentitiesFrom.ONE_REGION


def test_one_region_at_a_time_is_one_nodule_also_where_it_comes_back():
    numbering = RegionIdentities(IdentitiesFrom.ONE_REGION)
    shown = [drawn((LEFT, 1)), drawn(), drawn((RIGHT, 1))]
    assert [int(numbering.number(mask > 0).max()) for mask in shown] == [1, 0, 1]


def test_of_several_regions_those_that_overlap_the_frame_before_go_on_and_one_that_comes_back_is_another():
    numbering = RegionIdentities(IdentitiesFrom.OVERLAP)
    near = np.s_[12:32, 14:34]  # IoU 0.56 with the left one
    shown = [drawn((LEFT, 1)), drawn((near, 1), (RIGHT, 1)), drawn((RIGHT, 1)), drawn((LEFT, 1), (RIGHT, 1))]
    numbers = [numbering.number(mask > 0) for mask in shown]
    assert [sorted(np.unique(number[number > 0]).tolist()) for number in numbers] == [[1], [1, 2], [2], [2, 3]]
    assert numbers[1][15, 65] == numbers[2][15, 65] == 2


def test_a_clip_of_numbered_masks_is_read_with_its_identities(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number, mask in enumerate([drawn((LEFT, 1), (RIGHT, 2)), drawn((RIGHT, 2))]):
        cv2.imwrite(str(tmp_path / f"images/A_{number}.png"), np.full(mask.shape, 90, np.uint8))
        cv2.imwrite(str(tmp_path / f"masks/A_{number}.png"), mask)
    (clip,) = list_clips(tmp_path / "images", tmp_path / "masks", [])
    told_by = check_clip(clip)
    first, second = read_clip(clip, told_by)
    assert first.identity.max() == 2
    assert first.truth.sum() == 800
    assert np.unique(second.identity).tolist() == [0, 2]
