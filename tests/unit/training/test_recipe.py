from __future__ import annotations

from pathlib import Path

import pytest

from usassist.errors import ConfigError
from usassist.training import load_recipe

RECIPES = sorted(Path(__file__).parents[3].joinpath("recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_ships_can_be_read(path):
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
        ("seed = \n", "cannot be read"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(tmp_path, text, names):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=names):
        load_recipe(path)


def test_training_starts_at_the_smaller_size():
    recipe = load_recipe(RECIPES[0])
    assert recipe.size_hw_px_at(0.0) == (192, 288)
    assert recipe.size_hw_px_at(0.9) == recipe.size_hw_px == (256, 384)
