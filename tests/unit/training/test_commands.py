from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.app.commands.train import shortened, train
from usassist.errors import ConfigError
from usassist.training import package as package_command
from usassist.training.recipe import Recipe


def test_training_with_a_wrong_recipe_names_the_key_and_writes_nothing(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("speed = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="speed"):
        train(recipe, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_training_without_data_names_the_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path / "nowhere"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("seed = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="USASSIST_DATA"):
        train(recipe, out=tmp_path / "out")


def test_epochs_are_counted_in_frames_with_nodules():
    recipe = shortened(Recipe(), 2, 329)
    assert recipe.optim.steps == 66  # 658 frames in batches of 10
    assert recipe.optim.wall_clock_min > 60 * 24


def test_packaging_before_training_exits_with_code_2(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("seed = 1\n", encoding="utf-8")
    assert package_command.main([str(recipe), "--run", str(tmp_path), "--engines", str(tmp_path / "engines")]) == 2
    assert "model.onnx" in capsys.readouterr().err
    assert not (tmp_path / "engines").exists()
