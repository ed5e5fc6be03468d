from __future__ import annotations

import cv2
import numpy as np
import pytest

from tools.data_duplicates import render
from usassist.errors import ConfigError
from usassist.training.data.duplicates import find_pairs, list_frames, list_leaks, list_repeats

TRAINING, VALIDATION = (("set_a", "train"), ("set_b", "")), (("set_a", "val"),)


def picture(seed):
    coarse = np.random.default_rng(seed).uniform(30, 220, (14, 18)).astype(np.float32)
    return cv2.resize(coarse, (270, 210), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.fixture
def data(tmp_path):
    """set_a: a to e; in val a copy of b with a black border, saved again at low quality; set_b: c mirrored."""
    for folder in ("set_a/images", "set_b/images"):
        (tmp_path / folder).mkdir(parents=True)
    for seed, name in enumerate("abcde"):
        cv2.imwrite(str(tmp_path / f"set_a/images/{name}.jpg"), picture(seed))
    framed = cv2.copyMakeBorder(cv2.resize(picture(1), (200, 160)), 20, 30, 40, 10, cv2.BORDER_CONSTANT, value=0)
    cv2.imwrite(str(tmp_path / "set_a/images/v.jpg"), framed, [cv2.IMWRITE_JPEG_QUALITY, 50])
    cv2.imwrite(str(tmp_path / "set_a/images/w.jpg"), picture(70))
    cv2.imwrite(str(tmp_path / "set_b/images/m.jpg"), picture(2)[:, ::-1])
    (tmp_path / "set_a/train.txt").write_text("a b c d e\n", encoding="utf-8")
    (tmp_path / "set_a/val.txt").write_text("v w\n", encoding="utf-8")
    return tmp_path


def test_a_framed_and_a_mirrored_copy_are_found_and_nothing_else(data):
    frames = list_frames(data, (*TRAINING, *VALIDATION))
    pairs = find_pairs(frames)
    assert {(pair.first.name, pair.second.name, pair.mirrored) for pair in pairs} == {
        ("b", "v", False),
        ("c", "m", True),
    }
    table = render(frames, pairs)
    assert "| set_a/train | 5 | set_a/val | 2 | 1 | 0 | 1 | 1 |" in table
    assert "| set_a/train | 5 | set_b | 1 | 1 | 1 | 1 | 1 |" in table


def test_leaks_are_training_frames_and_repeats_are_the_later_ones(data):
    assert list_leaks(data, TRAINING, VALIDATION) == {"set_a": frozenset({"b"}), "set_b": frozenset()}
    held_out = list_leaks(data, TRAINING, VALIDATION, held_out={"set_b": {"m"}})
    assert held_out == {"set_a": frozenset({"b", "c"})}
    assert list_repeats(data, TRAINING) == {"set_a": frozenset(), "set_b": frozenset({"m"})}


def test_a_missing_set_and_a_missing_frame_are_named(data):
    with pytest.raises(ConfigError, match="set_c"):
        list_leaks(data, (("set_c", ""),), VALIDATION)
    (data / "set_a/images/d.jpg").unlink()
    with pytest.raises(ConfigError, match=r"d\.jpg cannot be read"):
        list_leaks(data, TRAINING, VALIDATION)


def test_frames_beside_a_block_of_the_other_part_are_leaks(tmp_path):
    folder = tmp_path / "thyroid_tn5000"
    (folder / "images").mkdir(parents=True)
    rows = ["id,part"]
    for number, part in ((95, "train"), (97, "train"), (100, "val"), (101, "val"), (104, "train"), (106, "train")):
        cv2.imwrite(str(folder / f"images/{number:06}.jpg"), picture(number))
        rows.append(f"{number:06},{part}")
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    leaks = list_leaks(tmp_path, (("thyroid_tn5000", "train"),), (("thyroid_tn5000", "val"),))
    assert leaks == {"thyroid_tn5000": frozenset({"000097", "000104"})}
