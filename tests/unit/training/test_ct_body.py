"""Training of body composition: pictures, loss, going on from a checkpoint, and an engine folder that opens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from usassist.modalities.ct.body.preprocess import SIZE_YX_PX  # noqa: E402
from usassist.training.ct_body.net import BodyNet, ExportBodyNet  # noqa: E402
from usassist.training.ct_body.planes import Pool  # noqa: E402
from usassist.training.ct_body.train import body_loss, main, train  # noqa: E402

_WEIGHTS = (1.0,) * 5


def test_pictures_are_windows_of_a_plane_with_its_compartments() -> None:
    pool = Pool(2, seed=5)
    pool.renew()
    images, targets = pool.batch(2)
    assert images.shape == (2, 3, *SIZE_YX_PX)
    assert 0.0 <= images.min() <= images.max() <= 1.0
    assert set(np.unique(targets)) <= {0, 1, 2, 3, 4}
    assert (targets == 2).any()


def test_the_loss_of_the_truth_is_lower_than_that_of_anything_else() -> None:
    target = torch.randint(0, 5, (1, 32, 32))
    right = torch.nn.functional.one_hot(target, 5).permute(0, 3, 1, 2).float() * 20
    wrong = right.roll(1, 1)
    assert body_loss(right, target, _WEIGHTS) < 1e-3
    assert body_loss(wrong, target, _WEIGHTS) > 1.0


def test_the_exported_network_is_the_trained_one() -> None:
    net = BodyNet().eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = torch.softmax(net(image), 1)
        found = ExportBodyNet(net)(image)
    assert torch.allclose(found, expected, atol=1e-6)


def test_training_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.training.ct_body.train.validate", lambda net: {"muscle": 0.5})
    settings = {"batch": 1, "pool": 8, "rate": 1e-3, "seed": 0, "class_weights": _WEIGHTS}
    train(tmp_path, minutes=0.002, **settings)
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert first["step"] > 0
    train(tmp_path, minutes=0.004, **settings)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] > first["step"]


def test_a_recipe_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[train]\nepochs = {json.dumps(3)}\n")
    assert main(["--recipe", str(recipe), "--out", str(tmp_path / "run")]) == 1
    assert "the recipe cannot be used" in capsys.readouterr().err
