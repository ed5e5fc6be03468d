from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.training import __main__ as training_command
from usassist.training import package as package_command


def test_training_with_a_wrong_recipe_ends_with_code_2_and_names_the_key(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("speed = 1\n", encoding="utf-8")
    assert training_command.main([str(recipe), "--out", str(tmp_path / "out")]) == 2
    assert "speed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_packaging_before_training_ends_with_code_2(tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("seed = 1\n", encoding="utf-8")
    assert package_command.main([str(recipe), "--run", str(tmp_path), "--engines", str(tmp_path / "engines")]) == 2
    assert "model.onnx" in capsys.readouterr().err
    assert not (tmp_path / "engines").exists()
