"""The simulated head: known volumes, HU of the tissues, and one answer per seed."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.phantom.ct.head import HeadBleed, draw_bleeds, head_affine, make_head, render_planes
from usassist.phantom.ct.head_anatomy import Tissue
from usassist.phantom.ct.render import Scanner

SHAPE = (20, 96, 96)
SPACING = (5.0, 2.4, 2.4)
STILL = Scanner(blur_px=0.0, noise_hu=0.0)
BLEEDS = (
    HeadBleed(kind=Tissue.INTRAPARENCHYMAL, centre_mm=(30.0, -5.0, 12.0), semi_mm=(16.0, 18.0, 20.0), hu=61.0),
    HeadBleed(kind=Tissue.EXTRA_AXIAL, centre_mm=(-55.0, 10.0, 20.0), semi_mm=(35.0, 10.0, 30.0), hu=70.0),
    HeadBleed(kind=Tissue.INTRAVENTRICULAR, semi_mm=(30.0, 1.0, 1.0), hu=48.0),
)


def test_the_volume_of_an_ellipsoid_is_in_the_labels_to_1_percent() -> None:
    planes = render_planes(3, (30, 160, 160), (2.0, 0.8, 0.8), BLEEDS[:1], scanner=STILL)
    pixels = sum(int((labels == Tissue.INTRAPARENCHYMAL).sum()) for _, labels in planes)
    assert BLEEDS[0].volume_ml is not None
    assert pixels * 2.0 * 0.8 * 0.8 / 1000.0 == pytest.approx(BLEEDS[0].volume_ml, rel=0.01)


def test_tissue_has_its_hu_and_every_bleed_is_there() -> None:
    hu, labels, affine = make_head(3, SHAPE, SPACING, BLEEDS, scanner=STILL)
    assert (hu.dtype, labels.dtype, hu.shape) == (np.int16, np.uint8, SHAPE)
    np.testing.assert_array_equal(affine, head_affine(SHAPE, SPACING))
    for bleed in BLEEDS:
        where = labels == bleed.kind
        assert where.sum() > 20
        assert np.median(hu[where]) == pytest.approx(bleed.hu, abs=8.0)  # partial volume
    assert np.median(hu[labels == Tissue.BONE]) > 700
    assert 22 < np.median(hu[labels == Tissue.BRAIN]) < 40
    assert np.median(hu[labels == Tissue.OUTSIDE]) == -1000


def test_blood_lies_inside_the_skull() -> None:
    _, without, _ = make_head(3, SHAPE, SPACING)
    _, labels, _ = make_head(3, SHAPE, SPACING, BLEEDS)
    changed = labels != without
    assert set(np.unique(without[changed]).tolist()) <= {Tissue.BRAIN, Tissue.CSF, Tissue.FALX}


def test_a_seed_gives_one_head_and_another_seed_another_one() -> None:
    first, again, other = (make_head(seed, (3, 64, 64), (20.0, 3.5, 3.5))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert draw_bleeds(4, 3) == draw_bleeds(4, 3)
    assert len({bleed.kind for seed in range(20) for bleed in draw_bleeds(seed, 2)}) == 3


def test_a_volume_in_a_file_has_the_same_voxels(tmp_path) -> None:
    def allocate(shape: tuple[int, int, int], dtype: type) -> np.ndarray:
        return np.memmap(tmp_path / np.dtype(dtype).name, dtype, "w+", shape=shape)

    plain = make_head(1, (3, 64, 64), (20.0, 3.5, 3.5))[0]
    stored = make_head(1, (3, 64, 64), (20.0, 3.5, 3.5), allocate=allocate)[0]
    np.testing.assert_array_equal(plain, stored)


@pytest.mark.parametrize(
    "wrong", [{"shape_zyx": (0, 4, 4)}, {"spacing_zyx_mm": (1.0, 0.0, 1.0)}], ids=["no planes", "no spacing"]
)
def test_a_size_of_zero_is_refused(wrong: dict) -> None:
    arguments = {"shape_zyx": (1, 4, 4), "spacing_zyx_mm": (1.0, 1.0, 1.0)} | wrong
    with pytest.raises(ValueError, match="larger than 0"):
        make_head(0, **arguments)


def test_a_bleed_of_another_kind_or_size_is_refused() -> None:
    with pytest.raises(ValueError, match="one of"):
        HeadBleed(kind=Tissue.BONE)
    with pytest.raises(ValueError, match="larger than 0"):
        HeadBleed(kind=Tissue.EXTRA_AXIAL, semi_mm=(0.0, 1.0, 1.0))
