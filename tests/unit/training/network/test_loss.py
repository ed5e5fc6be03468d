from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.training.network.loss import Batch, detect_segment_loss, make_targets  # noqa: E402
from usassist.training.network.model import DetectSegmentNet, RawOutputs  # noqa: E402
from usassist.training.recipe import ModelConfig  # noqa: E402

SIZE_HW_PX = (64, 96)


PLANES = ("mask", "gland", "mask_weight", "heat", "weight")


def batch_of(targets, gland_known=0.0, outline_known=1.0, is_thyroid=1.0, image=None):
    """One image's targets as a batch; the image itself plays no part, except where only the box is known."""
    plane = {name: torch.from_numpy(getattr(targets, name))[None, None] for name in PLANES}
    return Batch(
        image=torch.zeros(1, 1, *SIZE_HW_PX) if image is None else image,
        gland_known=torch.tensor([gland_known]),
        outline_known=torch.tensor([outline_known]),
        is_thyroid=torch.tensor([is_thyroid]),
        ltrb_px=torch.from_numpy(targets.ltrb_px)[None],
        **plane,
    )


NOTHING = np.zeros(SIZE_HW_PX, np.uint8)


def test_targets_put_centre_and_box_where_the_nodule_is():
    nodule = np.zeros((64, 96), np.uint8)
    nodule[16:48, 24:72] = 1
    targets = make_targets(nodule, NOTHING)
    row, column = np.unravel_index(np.argmax(targets.heat), targets.heat.shape)
    x_px, y_px = (column + 0.5) * 8, (row + 0.5) * 8
    left, top, right, bottom = targets.ltrb_px[:, row, column]
    assert (x_px - left, y_px - top, x_px + right, y_px + bottom) == (24, 16, 72, 48)
    assert targets.heat.max() == 1.0
    assert targets.mask.sum() * 4 == nodule.sum()


def test_specks_are_ignored():
    nodule = np.zeros((64, 96), np.uint8)
    nodule[33:37, 41:45] = 1
    targets = make_targets(nodule, NOTHING)
    assert targets.heat.max() == 0.0
    assert targets.weight[4, 5] == 0.0
    assert targets.weight.sum() == targets.weight.size - 1


def test_the_loss_is_small_exactly_for_correct_outputs():
    nodule = np.zeros((64, 96), np.uint8)
    nodule[16:48, 24:72] = 1
    targets = make_targets(nodule, NOTHING)
    want = batch_of(targets)
    right = RawOutputs(
        (want.mask - 0.5) * 40,
        torch.zeros_like(want.mask),
        (want.heat.clamp(1e-5, 1 - 1e-5)).logit(),
        (want.ltrb_px.clamp_min(1.1) / 32).log(),
        torch.full((1, 1), 10.0),
    )
    wrong = right._replace(mask_logit=-right.mask_logit, center_logit=-right.center_logit, box_raw=right.box_raw + 1.0)
    good, bad = (detect_segment_loss(raw, want, ModelConfig()) for raw in (right, wrong))
    assert float(good.mask) < 0.01
    assert float(good.center) < 0.3
    assert float(good.box) < 0.01
    for name in ("mask", "center", "box"):
        assert float(getattr(bad, name)) > 3 * float(getattr(good, name)) + 0.1


def test_the_gland_counts_only_where_it_is_known():
    gland = NOTHING.copy()
    gland[16:48, 24:72] = 1
    targets = make_targets(NOTHING, gland)
    with torch.no_grad():
        raw = DetectSegmentNet()(torch.rand(1, 1, *SIZE_HW_PX))
    config = ModelConfig(gland_weight=1.0)
    known, unknown = (detect_segment_loss(raw, batch_of(targets, flag), config) for flag in (1.0, 0.0))
    assert float(known.gland) > 0.1
    assert float(unknown.gland) == 0.0
    assert float(known.total) == pytest.approx(float(unknown.total) + float(known.gland), rel=1e-5)


def test_a_batch_without_nodules_has_a_finite_loss():
    with torch.no_grad():
        raw = DetectSegmentNet()(torch.rand(1, 1, *SIZE_HW_PX))
    parts = detect_segment_loss(raw, batch_of(make_targets(NOTHING, NOTHING)), ModelConfig())
    assert all(bool(torch.isfinite(part)) for part in parts)
    assert float(parts.box) == 0.0


def boxed_targets(**flags):
    ellipse = NOTHING.copy()
    cv2.ellipse(ellipse, (48, 32), (20, 12), 0, 0, 360, 1, -1)
    return ellipse, make_targets(ellipse, NOTHING, **flags)


def test_outside_a_box_the_loss_counts_less_and_inside_it_no_pixel_is_known():
    ellipse, targets = boxed_targets(outline_known=False, unmarked_weight=0.25)
    ys, xs = np.nonzero(ellipse)
    inside = np.s_[ys.min() // 2 : ys.max() // 2 + 1, xs.min() // 2 : xs.max() // 2 + 1]
    assert not targets.mask_weight[inside].any()
    assert targets.mask_weight[0, 0] == targets.weight[0, 0] == 0.25
    assert targets.weight[4, 6] == 1.0
    assert targets.heat.max() == 1.0


def test_lesions_of_another_organ_have_outlines_and_no_centre():
    _, targets = boxed_targets(is_thyroid=False)
    assert targets.mask.sum() > 0
    assert targets.mask_weight.min() == 1.0
    assert targets.heat.max() == 0.0
    assert targets.weight[4, 6] == 0.0
    assert targets.weight[0, 0] == 1.0


def test_a_mask_must_fill_its_box_and_follow_the_grey_levels():
    ellipse, targets = boxed_targets(outline_known=False)
    image = torch.from_numpy(0.6 - 0.4 * ellipse.astype(np.float32))[None, None]
    want = batch_of(targets, outline_known=0.0, image=image)

    def filled(mask, pair_weight=1.0):
        logit = torch.from_numpy((mask[::2, ::2].astype(np.float32) - 0.5) * 20)[None, None]
        raw = RawOutputs(logit, torch.zeros_like(logit), want.heat, want.ltrb_px, torch.zeros(1, 1))
        return float(detect_segment_loss(raw, want, ModelConfig(filled_weight=1.0, pair_weight=pair_weight)).filled)

    half = ellipse.copy()
    half[:, :48] = 0
    box = NOTHING.copy()
    box[20:45, 28:69] = 1
    assert filled(ellipse, 0.0) < 0.1
    assert filled(half, 0.0) > filled(ellipse, 0.0) + 0.2
    assert filled(box, 0.0) < 0.1  # the projections alone do not see the corners
    assert filled(box) > filled(ellipse) + 0.1  # the neighbours of like grey do


def test_the_domain_counts_frames_of_the_thyroid_and_others():
    raw = RawOutputs(
        *(torch.zeros(1, 1, 32, 48),) * 2, torch.zeros(1, 1, 8, 12), torch.zeros(1, 4, 8, 12), torch.full((1, 1), 4.0)
    )
    targets = make_targets(NOTHING, NOTHING)
    yes, no = (
        float(detect_segment_loss(raw, batch_of(targets, is_thyroid=f), ModelConfig()).domain) for f in (1.0, 0.0)
    )
    assert yes < 0.05
    assert no > 3.0
