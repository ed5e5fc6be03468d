"""The teacher of outlines: crops around boxes, the loss, learning, and what is refused before a run."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")


import torch

from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.training import teacher
from usassist.training.appearance import Appearance
from usassist.training.datasets import Sample
from usassist.training.model import DetectSegmentNet
from usassist.training.precision import choose_precision
from usassist.training.recipe import AugmentConfig
from usassist.training.run import ENCODER_FILE
from usassist.training.teacher_batches import BoxBatch, BoxBatchMaker, augment_crop
from usassist.training.teacher_check import check_outlines, ellipse_in_box, loosen
from usassist.training.teacher_data import (
    BoxedNodule,
    box_of_mask,
    box_plane,
    crop_plain,
    ellipse_plane,
    load_boxed,
    load_masked_folder,
    split_nodules,
)
from usassist.training.teacher_net import BoxOutlineNet, box_outline_loss
from usassist.training.teacher_train import TeacherConfig, load_teacher, train_teacher

HEADER = "id,part,width,height,original_width,original_height,class,x1,y1,x2,y2\n"
NO_LOOK = AugmentConfig(
    histogram_p=0.0,
    gamma_sd=0.0,
    gain_most=1.0,
    tgc_most=0.0,
    speckle_most=0.0,
    shadow_p=0.0,
    blur_p=0.0,
    sharpen_p=0.0,
    jpeg_p=0.0,
    marks_p=0.0,
)


def appearance():
    return Appearance(NO_LOOK, np.empty((0, 256), np.float32), np.empty((0, 9, 5), np.float32))


def disc(seed=0, name="1_1", *, boxed=False):
    """A dark disc in bright speckle, away from the border."""
    rng = np.random.default_rng(seed)
    image = rng.integers(120, 180, (120, 160)).astype(np.uint8)
    mask = np.zeros_like(image)
    axes = tuple(int(axis) for axis in rng.integers(14, 28, 2))
    cv2.ellipse(mask, (int(rng.integers(60, 100)), int(rng.integers(50, 70))), axes, 0, 0, 360, 1, -1)
    image[mask > 0] = 40
    return BoxedNodule(name=name, image=image, box_xyxy_px=box_of_mask(mask), mask=None if boxed else mask)


def write_boxed(folder, rows):
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "a.jpg"), np.full((50, 80), 90, np.uint8))
    (folder / "boxes.csv").write_text(HEADER + rows, encoding="utf-8")
    return folder


def test_the_plane_of_a_box_has_its_area_and_partial_pixels():
    plane = box_plane(np.array([2.5, 1.0, 6.0, 3.25]), (5, 8))
    assert plane.shape == (5, 8)
    assert plane.sum() == pytest.approx(3.5 * 2.25)
    assert plane[1, 2] == pytest.approx(0.5)
    assert plane[3, 4] == pytest.approx(0.25)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_crop_shows_the_box_where_the_nodule_is(mirrored):
    nodule = disc(3)
    crop = crop_plain(nodule, 96, 1.5, mirrored=mirrored)
    assert (crop.shown >= 0.5).sum() == pytest.approx(np.pi / 4 * (96 / 1.5) ** 2, rel=0.02)
    mask = cv2.warpAffine(nodule.mask * 255, crop.affine, (96, 96)) > 127
    filled = box_of_mask(mask.astype(np.uint8))
    np.testing.assert_allclose(filled, [16, 16, 80, 80], atol=1.5)
    assert crop.image[mask].mean() < 60 < crop.image[~mask].mean()


def test_an_augmented_crop_moves_image_box_and_target_together():
    for seed in range(12):
        crop = augment_crop(disc(seed), 96, appearance(), np.random.default_rng(seed))
        assert crop.has_mask
        assert crop.target.shape == (48, 48)
        inside = cv2.resize(crop.target, (96, 96)) > 0.9
        assert np.median(crop.image[inside]) < 90
        covered = (inside & (crop.shown >= 0.5)).sum() / inside.sum()
        assert covered > 0.85  # the box that is shown is a little off, as drawn boxes are


def test_the_target_of_a_box_without_mask_is_the_box():
    crop = augment_crop(disc(1, boxed=True), 96, appearance(), np.random.default_rng(0))
    assert not crop.has_mask
    rows, columns = crop.target.max(1), crop.target.max(0)
    np.testing.assert_allclose(crop.target, np.outer(rows, columns), atol=1e-6)
    assert 0.7 < np.pi * crop.target.sum() / (crop.shown >= 0.5).sum() < 1.3


def test_batches_depend_on_seed_and_number_alone():
    maker = BoxBatchMaker((([disc(n) for n in range(5)], 2), ([disc(9, boxed=True)], 1)), appearance(), 64, seed=4)
    first, again, other = maker.make(3), maker.make(3), maker.make(4)
    assert first.has_mask.tolist() == [1.0, 1.0, 0.0]
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_the_loss_of_a_box_wants_it_filled_and_nothing_outside():
    target = torch.from_numpy(box_plane(np.array([8.0, 8.0, 24.0, 24.0]), (32, 32)))[None, None]
    batch = BoxBatch(torch.zeros(1, 2, 64, 64), target, torch.zeros(1))

    def loss(mask):
        return float(box_outline_loss((mask.float() - 0.5) * 20, batch).total)

    y, x = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    filling = ((x - 16) ** 2 + (y - 16) ** 2 <= 64)[None, None]
    small = ((x - 16) ** 2 + (y - 16) ** 2 <= 16)[None, None]
    everything = torch.ones(1, 1, 32, 32)
    assert loss(filling) < 0.1 < loss(small)
    assert loss(everything) > 1.0


def test_the_loss_of_a_mask_is_near_zero_for_itself_and_large_for_its_complement():
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1.0
    batch = BoxBatch(torch.zeros(1, 2, 64, 64), target, torch.ones(1))
    assert float(box_outline_loss((target - 0.5) * 20, batch).total) < 0.01
    assert float(box_outline_loss((0.5 - target) * 20, batch).total) > 5.0


def small_config(**changes):
    return TeacherConfig(**{"steps": 30, "minutes": 5.0, "size_px": 64, "learning_rate": 5e-3, **changes})


def small_maker():
    groups = (([disc(n) for n in range(12)], 5), ([disc(n, boxed=True) for n in range(12, 18)], 1))
    return BoxBatchMaker(groups, appearance(), 64, seed=1)


def triangle(seed):
    """A dark triangle in bright speckle: the ellipse in its box is a poor outline."""
    rng = np.random.default_rng(seed)
    image = rng.integers(120, 180, (120, 160)).astype(np.uint8)
    x, y = int(rng.integers(60, 100)), int(rng.integers(50, 70))
    wide, high = rng.integers(18, 32, 2)
    mask = np.zeros_like(image)
    cv2.fillPoly(mask, [np.array([(x, y - high), (x + wide, y + high), (x - wide, y + high)], np.int32)], 1)
    image[mask > 0] = 40
    return BoxedNodule(name="1_1", image=image, box_xyxy_px=box_of_mask(mask), mask=mask)


@pytest.mark.timeout(120)
def test_it_learns_a_shape_in_thirty_steps_and_is_loaded_again(tmp_path):
    config = small_config(average_decay=0.6, learning_rate=1e-2, encoder_learning_rate=5e-3)
    maker = BoxBatchMaker((([triangle(n) for n in range(12)], 6),), appearance(), 64, seed=1)
    net, state = train_teacher(config, maker, tmp_path, encoder_npz=None, precision=choose_precision("fp32", 1))
    assert state.step == 30
    batch = maker.make(1000)
    truth = batch.target > 0.5

    def dice(found):
        return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))

    with torch.no_grad():
        learnt, before = net(batch.inputs) > 0, BoxOutlineNet().eval()(batch.inputs) > 0
        again, settings = load_teacher(tmp_path)
        assert torch.equal(again(batch.inputs) > 0, learnt)
    assert settings == config
    assert dice(before) < 0.8
    assert dice(learnt) > 0.9


def test_it_resumes_and_refuses_a_checkpoint_of_other_settings(tmp_path):
    precision = choose_precision("fp32", 1)

    class Interrupted(BoxBatchMaker):
        def make(self, step):
            if step == 2:
                raise KeyboardInterrupt
            return super().make(step)

    maker = small_maker()
    broken = Interrupted(maker.groups, maker.appearance, maker.size_px, maker.seed)
    config = small_config(steps=3)
    with pytest.raises(KeyboardInterrupt):
        train_teacher(config, broken, tmp_path, encoder_npz=None, precision=precision)
    _, state = train_teacher(config, maker, tmp_path, encoder_npz=None, precision=precision)
    assert state.step == 3
    assert [start["from_step"] for start in state.arithmetic] == [0, 2]
    with pytest.raises(ConfigError, match="other settings"):
        train_teacher(small_config(steps=4), maker, tmp_path, encoder_npz=None, precision=precision)
    with pytest.raises(ConfigError, match="train first"):
        load_teacher(tmp_path / "nothing")


def test_an_untrained_network_answers_with_the_ellipse_in_the_box():
    box = np.array([10.0, 20.0, 50.0, 60.0])
    shown = ellipse_plane(box, (64, 96))
    inputs = torch.from_numpy(np.stack([np.zeros_like(shown), shown]))[None]
    logit = BoxOutlineNet().eval()(inputs)
    assert logit.shape == (1, 1, 32, 48)
    found = box_of_mask((logit[0, 0].detach().numpy() > 0).astype(np.uint8))
    np.testing.assert_allclose(found * 2, box, atol=2)


def test_the_frozen_blocks_do_not_learn_and_are_loaded_again():
    base = DetectSegmentNet()
    base.freeze(3)
    net = BoxOutlineNet(base).train()
    learns = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(("stem", "blocks.0.", "blocks.1.", "blocks.2.")) for name in learns)
    assert any(name.startswith("blocks.3.") for name in learns)
    assert {"ellipse_gain", "show.weight", "head.weight"} <= learns
    assert [block.training for block in net.blocks[:5]] == [False, False, False, True, True]
    inputs = torch.rand(1, 2, 64, 64)
    with torch.no_grad():
        assert torch.equal(BoxOutlineNet.like(net.state_dict())(inputs), net.eval()(inputs))


def test_connected_nodules_are_separate_and_specks_are_left_out():
    nodule = np.zeros((80, 120), np.uint8)
    nodule[10:40, 10:50] = 1
    nodule[50:70, 70:100] = 1
    nodule[75:78, 5:8] = 1
    sample = Sample(name="7_1", image=np.zeros_like(nodule), nodule=nodule, gland=np.zeros_like(nodule))
    found = split_nodules([sample])
    assert [one.box_xyxy_px.tolist() for one in found] == [[10, 10, 50, 40], [70, 50, 100, 70]]
    assert sum(int(one.mask.sum()) for one in found) == 30 * 40 + 20 * 30


def test_the_check_gives_the_ellipse_full_marks_on_an_ellipse_and_an_interval_by_case():
    nodules = [disc(n, name=f"{n // 2}_{n}") for n in range(8)]
    check = check_outlines(nodules, [ellipse_in_box(nodule) for nodule in nodules])
    assert (check.nodules, check.cases) == (8, 4)
    assert check.dice > 0.97
    assert check.low <= check.dice <= check.high
    nothing = check_outlines(nodules, [np.zeros_like(nodule.mask) for nodule in nodules])
    assert nothing.dice == nothing.high == 0.0
    wider = loosen(nodules[0]).box_xyxy_px - nodules[0].box_xyxy_px
    assert (wider[:2] < 0).all()
    assert (wider[2:] > 0).all()


def test_boxes_are_read_and_cut_at_the_frame(tmp_path):
    folder = write_boxed(tmp_path, "a,train,80,50,80,50,benign,10.5,-2,60,51\n")
    (nodule,) = load_boxed(folder, "train")
    assert nodule.box_xyxy_px.tolist() == [10.5, 0.0, 60.0, 50.0]
    assert nodule.mask is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,train,80,50,80,50,benign,90,10,99,20\n", "outside the frame"),
        ("a,train,80,50,80,50,benign,30,10,30,20\n", "is empty"),
        ("a,train,80,50,80,50,benign,40,10,30,20\n", "is empty"),
        ("a,train,80,50,80,50,benign,nan,10,30,20\n", "is no number"),
        ("a,train,80,50,80,50,benign,x,10,30,20\n", "is no number"),
        ("a,train,80,60,80,50,benign,10,10,30,20\n", "is not 80x60 px"),
        ("b,train,80,50,80,50,benign,10,10,30,20\n", "cannot be read"),
        ("a,val,80,50,80,50,benign,10,10,30,20\n", "no frame of part 'train'"),
    ],
)
def test_an_unusable_box_is_named(tmp_path, rows, message):
    folder = write_boxed(tmp_path, rows)
    with pytest.raises(ConfigError, match=message):
        load_boxed(folder, "train")


def test_a_table_without_boxes_is_named(tmp_path):
    folder = write_boxed(tmp_path, "")
    (folder / "boxes.csv").write_text("id,part\na,train\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="must have the columns"):
        load_boxed(folder, "train")
    (folder / "boxes.csv").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_boxed(folder, "train")


def test_a_mask_that_does_not_fit_its_frame_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ConfigError, match="no frames with masks"):
        load_masked_folder(tmp_path)
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.full((50, 80), 90, np.uint8))
    with pytest.raises(ConfigError, match="cannot be read or differ"):
        load_masked_folder(tmp_path)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.full((50, 70), 255, np.uint8))
    with pytest.raises(ConfigError, match="cannot be read or differ"):
        load_masked_folder(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--steps", "0"], "must be positive"), (["--size", "100"], "multiple of 32"), (["--phantom", "0"], "at least 1")],
)
def test_settings_out_of_range_are_one_line(tmp_path, capsys, arguments, message):
    assert teacher.main([*arguments, "--out", str(tmp_path)]) != 0
    assert message in capsys.readouterr().err


def test_missing_data_is_named_before_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    assert teacher.main(["--out", str(tmp_path / "run")]) != 0
    assert "thyroid_ddti is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def write_sets(root):
    """All sets of the command, with two synthetic frames each, beside the real weights of the encoder."""
    try:
        weights = data_dir() / ENCODER_FILE.parts[0]
    except ConfigError as error:
        pytest.skip(str(error))
    if not weights.is_dir():
        pytest.skip(f"the data set {weights.name} is missing")
    (root / weights.name).symlink_to(weights)
    for number, (folder, names) in enumerate(
        {
            "thyroid_ddti": ("1_1", "2_1"),
            "breast_busi": ("benign_0001", "malignant_0001"),
            "thyroid_tn3k9": ("0000", "0001"),
            "thyroid_tn5000": ("000001", "000002"),
        }.items()
    ):
        (root / folder / "images").mkdir(parents=True)
        (root / folder / "masks").mkdir()
        for place, name in enumerate(names):
            nodule = disc(10 * number + place)
            cv2.imwrite(str(root / folder / "images" / f"{name}.jpg"), nodule.image)
            cv2.imwrite(str(root / folder / "masks" / f"{name}.png"), nodule.mask * 255)
            if folder == "thyroid_tn5000":
                sides = ",".join(f"{side:g}" for side in nodule.box_xyxy_px)
                with (root / folder / "boxes.csv").open("a", encoding="utf-8") as table:
                    table.write(HEADER if place == 0 else "")
                    table.write(f"{name},{('train', 'val')[place]},160,120,160,120,benign,{sides}\n")
    (root / "thyroid_ddti" / "train.txt").write_text("1_1\n", encoding="utf-8")
    (root / "thyroid_ddti" / "val.txt").write_text("2_1\n", encoding="utf-8")


@pytest.mark.timeout(120)
def test_the_command_trains_checks_outlines_and_says_what_it_used(tmp_path, monkeypatch):
    root, out = tmp_path / "data", tmp_path / "run"
    root.mkdir()
    write_sets(root)
    monkeypatch.setenv("USASSIST_DATA", str(root))
    arguments = ["--out", str(out), "--steps", "2", "--size", "64", "--phantom", "1", "--threads", "1"]
    assert teacher.main([*arguments, "--precision", "fp32"]) == 0
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["step"] == 2
    assert manifest["outlines"]["train"]["frames"] == manifest["outlines"]["val"]["frames"] == 1
    assert manifest["data_sha256"]["tn5000_train"]["nodules"] == 1
    assert manifest["checks"]["ddti_val, true_boxes"]["ellipse"]["dice"] > 0.9
    kept = sum(part["kept"] for part in manifest["outlines"].values())
    assert len(list((out / "masks").glob("*.png"))) == kept
    checkpoint = (out / "teacher.pt").stat().st_mtime_ns
    assert teacher.main([*arguments, "--steps", "3"]) != 0  # other settings: the checkpoint is left alone
    assert (out / "teacher.pt").stat().st_mtime_ns == checkpoint


def test_ctrl_c_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(teacher, "run", interrupted)
    assert teacher.main(["--out", str(tmp_path)]) == 130
    assert "resumes" in capsys.readouterr().err
