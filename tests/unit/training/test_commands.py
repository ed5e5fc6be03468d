from __future__ import annotations

import signal

import pytest
import typer

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_frames_are_read_is_one_line_and_130(tmp_path, capsys, monkeypatch, number):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("seed = 1\n", encoding="utf-8")
    monkeypatch.setattr("usassist.training.run.prepare", lambda *arguments: signal.raise_signal(number))
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(typer.Exit) as ended:
            train(recipe, out=tmp_path / "out")
    finally:
        signal.signal(number, before)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "usassist: stopped"
    assert not (tmp_path / "out").exists()


def test_a_signal_while_training_saves_and_is_one_line_and_130(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxscript", reason="training needs the extra `train`: pip install usassist[train]")
    from tests.unit.training.test_train import tiny_data, tiny_recipe
    from usassist.training.checkpoint import load_trained
    from usassist.training.data.batches import BatchMaker

    make = BatchMaker.make

    def make_and_send(self, step, size_hw_px):
        if step == 6:  # a few are made ahead
            signal.raise_signal(signal.SIGTERM)
        return make(self, step, size_hw_px)

    monkeypatch.setattr("usassist.training.recipe.load_recipe", lambda path: tiny_recipe(steps=50))
    monkeypatch.setattr("usassist.training.run.prepare", lambda *arguments: tiny_data())
    monkeypatch.setattr(BatchMaker, "make", make_and_send)
    with pytest.raises(typer.Exit) as ended:
        train(tmp_path / "recipe.toml", out=tmp_path / "out")
    assert ended.value.exit_code == 130
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines[-1].startswith("usassist: stopped after ")
    assert lines[-1].endswith("the same command resumes from there")
    assert 1 <= load_trained(tmp_path / "out")[1].step < 50
