"""What CT modules refuse: by the header, and by the voxels where the header is silent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usassist.errors import VolumeError
from usassist.modalities.ct.body.task import BodyTask
from usassist.modalities.ct.haemorrhage.task import HaemorrhageTask
from usassist.modalities.ct.suitable import abdomen_reason, head_reason, is_sharp_kernel, refuse_abdomen, refuse_head
from usassist.sources.volumes import read_volume
from usassist.volumes import Volume

SOFT = "B30s B31f H31s Br40d Hr38f J30s FC21 FC26 FC68 STANDARD SOFT UB B"
SHARP = "B60s B70f H60s Br64d Hr68h U90u FC30 FC81 FC51 BONE BONEPLUS LUNG EDGE YC"


@dataclass
class Facts:
    modality: str = "CT"
    body_part: str = ""
    description_words: tuple[str, ...] = ()
    kernel: str = ""
    contrast: bool | None = None
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    unit: str = "HU"
    unreadable: str = ""
    is_localizer: bool = False
    spacing_is_known: bool = True


def volume(hu: Any, spacing_mm: float = 2.0) -> Volume:
    affine = np.diag([spacing_mm, spacing_mm, 5.0, 1.0])
    return Volume(
        session_id="s",
        source_id="ct0",
        series_id="x",
        modality="CT",
        voxels=np.asarray(hu, np.int16),
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )


def head(
    planes: int = 3, *, brain: int = 35, gap_deg: float = 0.0, noise: float = 5.0, size: float = 1.0
) -> np.ndarray:
    """Skin, skull and brain in an elliptic section of 150 x 190 mm; `gap_deg` of the skull are missing."""
    y, x = np.mgrid[:128, :128] - 63.5
    away = np.hypot(x * 2 / 75, y * 2 / 95)
    hu = np.full((128, 128), -1000.0)
    hu[away < 1] = 20
    bone = (away < 0.95) & (away > 0.86) & (np.degrees(np.abs(np.arctan2(y, x))) >= gap_deg / 2)
    hu[bone] = 1100
    hu[away <= 0.86] = brain
    hu = hu + np.random.default_rng(1).normal(0, noise, (planes, 128, 128)) * (hu > -900)
    return np.asarray(hu)


def trunk(planes: int = 3, *, noise: float = 8.0) -> np.ndarray:
    """Fat, muscle and a vertebra in an elliptic section of 340 x 220 mm."""
    y, x = np.mgrid[:128, :192] - np.array([63.5, 95.5])[:, None, None]
    away = np.hypot(x * 2 / 170, y * 2 / 110)
    hu = np.select([away < 0.8, away < 1], [50.0, -100.0], -1000.0)
    hu[np.hypot(x * 2, (y - 30) * 2) < 22] = 400
    return np.asarray(hu + np.random.default_rng(1).normal(0, noise, (planes, 128, 192)) * (hu > -900))


def test_a_head_and_a_trunk_are_taken_for_what_they_are() -> None:
    refuse_head(Facts(), volume(head()))
    refuse_head(Facts(), volume(head(1)))
    refuse_head(Facts(), volume(head(gap_deg=70)))  # after a craniectomy
    refuse_abdomen(Facts(), volume(trunk()))
    with pytest.raises(VolumeError, match="shows no skull"):
        refuse_head(Facts(), volume(trunk()))
    with pytest.raises(VolumeError, match="a skull or a limb"):
        refuse_abdomen(Facts(), volume(head()))


def test_one_plane_is_enough_for_an_abdomen_where_its_level_is_given() -> None:
    refuse_abdomen(Facts(), volume(trunk(1)), level_is_given=True)
    with pytest.raises(VolumeError, match="--level"):
        refuse_abdomen(Facts(), volume(trunk(1)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modality": "MR", "unit": "1"}, "is of modality MR"),
        ({"modality": "OT", "unit": "1"}, "do not look like HU"),
        ({"unit": "1"}, "holds no HU"),
        ({"is_localizer": True}, "is a localizer"),
        ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "holds projections"),
        ({"kernel": "B70s"}, r"for bone or lung \(kernel B70s\)"),
        ({"description_words": ("bone", "head")}, "for bone, as its description says"),
        ({"unreadable": "lacks 2 planes"}, "lacks 2 planes"),
    ],
)
def test_headers_that_no_ct_module_takes(changes: dict[str, Any], reason: str) -> None:
    for refuse, hu in ((refuse_head, head()), (refuse_abdomen, trunk())):
        with pytest.raises(VolumeError, match=reason):
            refuse(Facts(**changes), volume(hu))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"contrast": True}, "contrast medium"),
        ({"description_words": ("angio", "head")}, "contrast medium"),
        ({"body_part": "NECK"}, r"another body part \(neck\)"),
        ({"description_words": ("abdomen",)}, "another body part"),
    ],
)
def test_headers_that_are_not_those_of_a_plain_head(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(VolumeError, match=reason):
        refuse_head(Facts(**changes), volume(head()))


def test_headers_that_are_not_those_of_an_abdomen() -> None:
    assert abdomen_reason(Facts(contrast=True, body_part="ABDOMEN", description_words=("vascular",))) == ""
    assert "another body part" in abdomen_reason(Facts(body_part="HEAD"))
    assert "another body part" in abdomen_reason(Facts(description_words=("brain",)))
    assert "perfusion" in abdomen_reason(Facts(description_words=("perfusion",)))
    assert head_reason(Facts(body_part="HEAD", contrast=False, kernel="H30s", description_words=("noncontrast",))) == ""


@pytest.mark.parametrize(
    ("hu", "spacing_mm", "reason"),
    [
        (np.full((2, 64, 64), -1000), 2.0, "nothing but air"),
        (np.maximum(head(), -100), 2.0, "shows no air"),
        (head(brain=170), 2.0, "a median of 1.. HU, which is no brain"),
        (head(brain=900), 2.0, "shows no skull"),
        (head(), 3.0, "wider than 270 mm"),
        (head(noise=90.0), 2.0, "noise of .* HU, as kernels for bone have"),
    ],
)
def test_voxels_that_are_not_those_of_a_head(hu: np.ndarray, spacing_mm: float, reason: str) -> None:
    with pytest.raises(VolumeError, match=reason):
        refuse_head(Facts(), volume(hu, spacing_mm))


def test_lengths_that_are_made_up_are_not_used() -> None:
    refuse_head(Facts(spacing_is_known=False), volume(head(), 9.0))
    refuse_abdomen(Facts(spacing_is_known=False), volume(trunk(), 0.1))
    with pytest.raises(VolumeError, match="no section is as wide as 150 mm"):
        refuse_abdomen(Facts(), volume(trunk(), 0.5))


def test_noise_is_not_held_against_a_series_whose_kernel_is_stated() -> None:
    refuse_head(Facts(kernel="H31s"), volume(head(noise=60.0)))


def test_sagittal_and_coronal_planes_are_refused() -> None:
    turned = volume(head())
    affine = turned.affine_ijk_to_lps_mm[:, [2, 0, 1, 3]].copy()
    affine[3] = (0, 0, 0, 1)
    sagittal = Volume(
        session_id="s",
        source_id="ct0",
        series_id="x",
        modality="CT",
        voxels=turned.voxels,
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )
    with pytest.raises(VolumeError, match="sagittal or coronal"):
        refuse_head(Facts(), sagittal)


@pytest.mark.parametrize(
    ("kernel", "sharp"),
    [
        *((name, False) for name in SOFT.split()),
        *((name, True) for name in SHARP.split()),
        ("", False),
    ],
)
def test_kernels_for_bone_and_lung_are_known_by_name(kernel: str, sharp: bool) -> None:
    assert is_sharp_kernel(kernel) == sharp


def test_tasks_say_what_the_header_speaks_against() -> None:
    """Called by name where an input holds several series, so a new name would silently change which is taken."""
    for task, part, other in ((HaemorrhageTask, "HEAD", "ABDOMEN"), (BodyTask, "ABDOMEN", "HEAD")):
        without_engine = object.__new__(task)
        assert without_engine.unfit(Facts(body_part=part)) == ""
        assert "another body part" in without_engine.unfit(Facts(body_part=other))


def test_real_series_are_taken_for_what_they_are() -> None:
    root = Path(os.environ.get("USASSIST_DATA", ""))
    if "USASSIST_DATA" not in os.environ or not (root / "ct_head_ich_hu").is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with ct_head_ich_hu")
    for path in sorted((root / "ct_head_ich_hu").glob("*.npz")):
        refuse_head(Facts(spacing_is_known=False), volume(np.load(path)["hu"][None]))
    body = read_volume(root / "ct_body_totalsegmentator" / "example_ct.nii.gz", session_id="s")
    refuse_abdomen(body.facts, body.volume)
    with pytest.raises(VolumeError, match="shows no skull"):
        refuse_head(body.facts, body.volume)
    template = read_volume(root / "ct_head_template" / "scct_stripped_hu.nii.gz", session_id="s")
    with pytest.raises(VolumeError, match="do not look like HU"):
        refuse_head(template.facts, template.volume)
