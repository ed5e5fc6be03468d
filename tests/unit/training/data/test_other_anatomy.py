"""Frames of other anatomy: what is held out, sequences that cannot be read, and drawn screens."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from usassist.errors import ConfigError
from usassist.training.data import other_anatomy
from usassist.training.data.other_anatomy import (
    BREAST_HELD_OUT,
    is_held_out_breast,
    list_clips,
    load_breast,
    load_pictures,
)

SEQUENCE = "BoneUltrasound_L14.igs.mha"
PIXELS = np.random.default_rng(0).integers(20, 200, (20, 120, 160)).astype(np.uint8)


def metaimage(pixels=PIXELS, *, packed=False, **changes):
    """The bytes of a MetaImage file: N frames of uint8."""
    count, height, width = pixels.shape
    facts = {"DimSize": f"{width} {height} {count}", "CompressedData": str(packed), "ElementType": "MET_UCHAR"}
    head = "".join(f"{name} = {value}\n" for name, value in (facts | changes).items())
    data = zlib.compress(pixels.tobytes()) if packed else pixels.tobytes()
    return f"{head}ElementDataFile = LOCAL\n".encode() + data


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """One sequence, carotids of four patients, and two heads."""
    monkeypatch.setattr(other_anatomy, "_SEQUENCES", (SEQUENCE,))
    rng = np.random.default_rng(1)
    for folder, names in {
        "ultrasound_carotid": ("201001_a", "201002_a", "201509291151590620_a", "classification_a"),
        "ct_head_png": ("head_1", "head_2"),
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            picture = rng.integers(20, 200, (200, 260)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), picture)
    (tmp_path / "ultrasound_sequences_plus").mkdir()
    (tmp_path / "ultrasound_sequences_plus" / SEQUENCE).write_bytes(metaimage())
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
def test_the_frames_of_a_sequence_are_read(sets, packed):
    (sets / "ultrasound_sequences_plus" / SEQUENCE).write_bytes(metaimage(packed=packed))
    frames = [sample for sample in load_pictures(sets, drawn=0) if sample.look == SEQUENCE]
    assert [sample.name for sample in frames] == [f"{SEQUENCE}_{place}" for place in range(0, 20, 2)]
    assert np.array_equal(frames[3].image, PIXELS[6])


@pytest.mark.parametrize(
    "broken",
    [
        metaimage()[:-1],
        metaimage(packed=True)[:-100],
        metaimage(CompressedData="True"),
        metaimage(DimSize="160 120"),
        metaimage(DimSize="160 many 20"),
        metaimage().replace(b"DimSize", b"Size"),
        b"",
        None,
    ],
    ids=["short", "short_packed", "not_packed", "two_sides", "no_number", "no_size", "empty", "missing"],
)
def test_a_sequence_that_cannot_be_read_is_named(sets, broken):
    path = sets / "ultrasound_sequences_plus" / SEQUENCE
    path.unlink() if broken is None else path.write_bytes(broken)
    with pytest.raises(ConfigError, match=rf"{SEQUENCE} cannot be read: .*fetch the data set again"):
        load_pictures(sets, drawn=0)


def test_patients_and_heads_that_are_held_out_are_not_read(sets):
    samples = load_pictures(sets, drawn=0)
    assert [sample.name for sample in samples if sample.look == "carotid"] == ["201001_a", "201002_a"]
    assert [sample.name for sample in samples if sample.look == "head"] == ["head_1"]
    assert not any(sample.is_thyroid or sample.nodule.any() for sample in samples)


def test_a_missing_set_and_a_broken_picture_are_named(sets):
    (sets / "ct_head_png" / "head_1.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"head_1\.png cannot be read"):
        load_pictures(sets, drawn=0)
    (sets / "ultrasound_carotid").rename(sets / "elsewhere")
    with pytest.raises(ConfigError, match="ultrasound_carotid is missing"):
        load_pictures(sets, drawn=0)


def test_drawn_screens_are_the_same_every_time_and_of_four_kinds(sets):
    first, again = ([s for s in load_pictures(sets, drawn=8) if s.look == "drawn"] for _ in range(2))
    assert [sample.name for sample in first] == [f"drawn_{seed}" for seed in range(8)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.image, other.image)
    assert len({sample.image.tobytes() for sample in first}) == 8
    assert not any(sample.is_thyroid for sample in first)


def test_breast_frames_that_are_held_out_are_the_same_everywhere(tmp_path):
    names = [f"benign_{number:04d}" for number in range(300)]
    held_out = [name for name in names if is_held_out_breast(name)]
    assert held_out == [name for name in names if zlib.crc32(name.encode()) % 5 == 0]
    assert 0.6 * 300 / BREAST_HELD_OUT < len(held_out) < 1.4 * 300 / BREAST_HELD_OUT
    taught = [name for name in names if name not in held_out]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    chosen = (held_out[0], taught[0], taught[1], taught[2])
    mask = np.zeros((150, 200), np.uint8)
    mask[40:80, 60:120] = 255
    for name in chosen:
        picture = np.random.default_rng(2).integers(20, 200, mask.shape).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), picture)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), mask if name != taught[1] else np.zeros_like(mask))
    samples = load_breast(tmp_path, left_out={taught[2]})
    assert [sample.name for sample in samples] == sorted((taught[0], taught[1]))
    assert [bool(sample.nodule.any()) for sample in samples] == [True, False]
    assert not any(sample.is_thyroid for sample in samples)


def test_clips_are_listed_in_a_fixed_order_which_decides_what_is_held_out(tmp_path):
    for name in ("b/1.mp4", "a/2.MOV", "a/1.mpeg", "a/notes.txt", "0.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_clips(tmp_path)] == [
        "a/1.mpeg",
        "a/2.MOV",
        "b/1.mp4",
    ]
