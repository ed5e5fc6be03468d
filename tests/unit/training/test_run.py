"""What a run refuses before it reads any frame."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")
pytest.importorskip("onnxscript", reason="training needs the extra `train`: pip install usassist[train]")

import usassist.training.run as module
from usassist.errors import ConfigError
from usassist.training.data.terms import load_terms
from usassist.training.recipe import DataConfig, Recipe
from usassist.training.run import prepare

SETS = ("thyroid_ddti", "thyroid_gland_tg3k", "ultrasound_clips_lung", "breast_busi", "weights_mobilenet_v2")
RECIPE = Recipe(data=DataConfig(breast_per_batch=1, phantom_frames=1))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Empty folders of all sets, so that whoever reads a frame fails otherwise."""
    for name in SETS:
        (tmp_path / name).mkdir()
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", [*SETS, "phantom"])
def test_a_set_without_stated_terms_is_refused_before_any_frame_is_read(root, monkeypatch, name):
    terms = {key: entry for key, entry in load_terms().items() if key != name}
    monkeypatch.setattr(module, "load_terms", lambda: terms)
    with pytest.raises(ConfigError, match=f"no terms are stated for {name}; add an entry"):
        prepare(RECIPE, root / "cache")
    assert not (root / "cache").exists()


def test_a_missing_set_is_named(root):
    (root / "breast_busi").rmdir()
    with pytest.raises(ConfigError, match="the data set breast_busi is missing"):
        prepare(RECIPE, root / "cache")
    assert not (root / "cache").exists()
