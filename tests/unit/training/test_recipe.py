from __future__ import annotations

from pathlib import Path

import pytest

from usassist.errors import ConfigError
from usassist.training import load_recipe

FOLDER = Path(__file__).parents[3] / "recipes"
RECIPES = sorted(  # those of the engines for CT have readers and tests of their own
    path for path in FOLDER.rglob("*.toml") if path.name != "data_terms.toml" and not path.name.startswith("ct_")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_can_be_read(path):
    recipe = load_recipe(path)
    assert recipe.licence != "not stated"
    assert "not a medical device" in recipe.intended_use


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("speed = 3\n", "speed"),
        ("[data]\nspeed = 3\n", "speed"),
        ("[optim]\nsteps = 2.5\n", "steps"),
        ("[optim]\nsteps = 0\n", "steps"),
        ("seed = '1'\n", "seed"),
        ("height_px = 250\n", "height_px"),
        ("[data]\npaste_share = 1.5\n", "paste_share"),
        ("[model]\nfresh = 'mask_body'\n", "fresh must be a list of strings"),
        ("[model]\nfresh = [1]\n", "fresh must be a list of strings"),
        ("seed = \n", "cannot be read"),
    ],
)
def test_an_error_in_a_recipe_is_named(tmp_path, text, names):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=names):
        load_recipe(path)


def test_a_recipe_contains_only_the_differences_from_its_base(tmp_path):
    (tmp_path / "all.toml").write_text("seed = 7\n[data]\npaste_share = 0.1\ndual_share = 0.2\n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "less.toml").write_text('base = "../all.toml"\n[data]\npaste_share = 0.0\n', encoding="utf-8")
    recipe = load_recipe(tmp_path / "sub" / "less.toml")
    assert (recipe.seed, recipe.data.paste_share, recipe.data.dual_share) == (7, 0.0, 0.2)


def test_recipes_that_are_based_on_each_other_are_refused(tmp_path):
    (tmp_path / "a.toml").write_text('base = "b.toml"\n', encoding="utf-8")
    (tmp_path / "b.toml").write_text('base = "a.toml"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="base"):
        load_recipe(tmp_path / "a.toml")


def test_training_starts_at_the_smaller_size():
    recipe = load_recipe(Path(__file__).parents[3] / "recipes" / "thyroid_nodule_0.4_first.toml")
    assert recipe.size_hw_px_at(0.0) == (128, 192)
    assert recipe.size_hw_px_at(0.9) == recipe.size_hw_px == (192, 288)
