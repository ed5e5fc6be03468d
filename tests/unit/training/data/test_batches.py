from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")
pytest.importorskip("onnx", reason="training needs the extra `train`: pip install usassist[train]")

from tests.unit.training.test_train import tiny_data, tiny_recipe, tiny_sample
from usassist.training.data.batches import BatchMaker, TrainFrames
from usassist.training.recipe import DataConfig


def test_looks_are_balanced():
    frames = [
        dataclasses.replace(tiny_sample(0, nodule=True), name=f"{n}", look="a" if n < 90 else "b") for n in range(100)
    ]
    data = DataConfig(nodule_per_batch=8, gland_per_batch=0, phantom_per_batch=0, look_power=0.0)
    recipe = dataclasses.replace(tiny_recipe(), data=data)
    maker = BatchMaker(recipe, tiny_data().augmenter, TrainFrames(nodule=frames))
    drawn = [sample.look for step in range(60) for sample in maker._draw("nodule", 1, step, 8)]
    assert 0.4 < drawn.count("b") / len(drawn) < 0.6
