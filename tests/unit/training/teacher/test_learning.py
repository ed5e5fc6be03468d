"""The teacher's batches, loss and training."""

from __future__ import annotations

import signal

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

import torch

from tests.unit.training.teacher.test_nodules import appearance, disc
from usassist.errors import ConfigError
from usassist.training.data.boxes import box_of_mask, box_plane, ellipse_plane
from usassist.training.network.model import DetectSegmentNet
from usassist.training.precision import choose_precision
from usassist.training.teacher.batches import BoxBatch, BoxBatchMaker
from usassist.training.teacher.net import BoxOutlineNet, box_outline_loss
from usassist.training.teacher.nodules import BoxedNodule
from usassist.training.teacher.train import TeacherConfig, load_teacher, train_teacher


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
            if step == 1:
                signal.raise_signal(signal.SIGTERM)
            return super().make(step)

    maker = small_maker()
    broken = Interrupted(maker.groups, maker.appearance, maker.size_px, maker.seed)
    config = small_config(steps=3)
    with pytest.raises(KeyboardInterrupt, match="stopped after 2 steps"):
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
