"""Which frames make a clip, and what is refused before the first frame is run."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import ConfigError, SourceError, SourceFormatError, UsageError
from usassist.evaluation.sweep_clips import check_clip, list_clips, read_clip, read_clip_table, sample_images


@pytest.fixture
def folders(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    return tmp_path / "images", tmp_path / "masks"


def put(folders, *names, image=True, mask=True, hw=(20, 30)):
    for name in names:
        if image:
            cv2.imwrite(str(folders[0] / f"{name}.png"), np.full(hw, len(name) + 60, np.uint8))
        if mask:
            cv2.imwrite(str(folders[1] / f"{name}.png"), np.full(hw, 255, np.uint8))


def test_the_clip_is_what_stands_before_the_last_underscore_and_frames_follow_their_numbers(folders):
    put(folders, "left_1_10", "left_1_2", "left_1_1", "02_0", "02_1")
    clips = list_clips(*folders, [])
    assert {clip.name: clip.numbers for clip in clips} == {"left_1": (1, 2, 10), "02": (0, 1)}
    assert [pair.name for pair in next(clip for clip in clips if clip.name == "left_1").pairs] == [
        "left_1_1",
        "left_1_2",
        "left_1_10",
    ]
    assert all(clip.case == clip.name for clip in clips)


def test_a_table_names_clip_and_number_of_every_frame(folders, tmp_path):
    put(folders, "x", "y", "z", "w")
    table = tmp_path / "frames.csv"
    table.write_text("clip,file,frame,more\nA,x.png,7,\nA,y,3,\nB,z,0,\nB,w,1,\n")
    clips = list_clips(*folders, [], table=read_clip_table(table), cases={"A": "p1", "B": "p1"})
    assert [(clip.name, clip.case, clip.numbers) for clip in clips] == [("A", "p1", (3, 7)), ("B", "p1", (0, 1))]
    assert [item.name for item in read_clip(clips[0])] == ["y", "x"]
    assert {item.case for item in read_clip(clips[0])} == {"p1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file;clip;frame\nx;A;1\n", "no column file"),
        ("file,clip,frame\nx,A,first\n", "line 2.*number"),
        ("file,clip,frame\nx,../A,1\n", "line 2"),
        ("file,clip,frame\nx,A,1\nx,A,2\n", "line 3"),
        ("file,clip,frame\nx\n", "line 2"),
    ],
)
def test_a_table_with_another_form_is_refused(tmp_path, text, message):
    table = tmp_path / "frames.csv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_clip_table(table)


def test_a_frame_without_its_mask_and_a_mask_without_its_frame_are_named(folders):
    put(folders, "01_0", "01_1")
    put(folders, "01_2", mask=False)
    put(folders, "02_0", "02_1")
    with pytest.raises(SourceError, match="01_2 has no mask"):
        list_clips(*folders, [])
    put(folders, "01_2")
    put(folders, "02_2", "02_3", image=False)
    with pytest.raises(SourceError, match="02_2 has no image, and 1 more"):
        list_clips(*folders, [])
    assert [clip.name for clip in list_clips(*folders, [], names=["01"])] == ["01"]


def test_a_frame_that_only_the_table_knows_is_named(folders, tmp_path):
    put(folders, "01_0", "01_1")
    table = tmp_path / "frames.csv"
    table.write_text("file,clip,frame\n01_0,01,0\n01_1,01,1\n01_2,01,2\n")
    with pytest.raises(SourceError, match="01_2 has no image"):
        list_clips(*folders, [], table=read_clip_table(table))
    table.write_text("file,clip,frame\n01_0,01,0\n")
    with pytest.raises(ConfigError, match="no line for 01_1"):
        list_clips(*folders, [], table=read_clip_table(table))


@pytest.mark.parametrize("name", ["0001", "_3", "01_3b", "01_"])
def test_a_name_that_does_not_give_its_clip_is_refused(folders, name):
    put(folders, "01_0", "01_1", name)
    with pytest.raises(UsageError, match=f"{name} does not give its clip.*--clips"):
        list_clips(*folders, [])


def test_wrong_clips_are_refused(folders):
    put(folders, "01_0", "01_1", "02_0")
    with pytest.raises(UsageError, match="clip 02 has one frame only"):
        list_clips(*folders, [])
    with pytest.raises(UsageError, match="there is no clip 03"):
        list_clips(*folders, [], names=["01", "03"])
    with pytest.raises(ConfigError, match="no line for clip 01"):
        list_clips(*folders, [], names=["01"], cases={"02": "p"})
    put(folders, "01_01")
    with pytest.raises(UsageError, match="both frame 1 of clip 01"):
        list_clips(*folders, [], names=["01"])


def test_an_empty_folder_is_an_error_and_other_files_are_reported(folders):
    (folders[0] / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match="no frame in"):
        list_clips(*folders, [])
    put(folders, "01_0", "01_1")
    skipped = []
    list_clips(*folders, skipped)
    assert [item.name for item in skipped] == ["notes.txt"]


def test_files_that_do_not_fit_are_named_before_a_run(folders):
    put(folders, "01_0", "01_1", "01_2")
    (clip,) = list_clips(*folders, [])
    check_clip(clip)
    put(folders, "01_2", image=False, hw=(20, 31))
    with pytest.raises(SourceFormatError, match="01_2: the image has 30 x 20 px, its mask 31 x 20 px"):
        check_clip(clip)
    put(folders, "01_2", hw=(20, 31))
    with pytest.raises(SourceFormatError, match="clip 01: 01_2 has 31 x 20 px, the frames before it 30 x 20 px"):
        check_clip(clip)
    put(folders, "01_2")
    (folders[0] / "01_2.png").write_bytes((folders[0] / "01_2.png").read_bytes()[:30])
    with pytest.raises(SourceFormatError, match="01_2"):
        check_clip(clip)


def test_the_samples_for_the_scan_area_are_spread_over_the_clip(folders):
    put(folders, *[f"01_{number:03}" for number in range(40)])
    for number in (0, 39):
        cv2.imwrite(str(folders[0] / f"01_{number:03}.png"), np.full((20, 30), 200 + number, np.uint8))
    (clip,) = list_clips(*folders, [])
    samples = sample_images(clip)
    assert len(samples) == 8
    assert (samples[0][0, 0], samples[-1][0, 0]) == (200, 239)
    put(folders, "02_0", "02_1")
    assert len(sample_images(list_clips(*folders, [], names=["02"])[0])) == 2
