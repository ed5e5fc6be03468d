"""The first run of the shipped engine's recipe, from the command to the exported model, for two epochs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")
pytest.importorskip("onnxscript", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.training import load_recipe
from usassist.training.data.duplicates import TRAINING, VALIDATION
from usassist.training.network.encoder import find_weights

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipes" / "thyroid_nodule_0.4_first.toml"
SIZE_HW_PX = (96, 128)  # a sixth of the recipe's, for its time
SETS = sorted({folder for folder, _ in (*TRAINING, *VALIDATION)} | {"ultrasound_clips_lung"})


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_epochs_of_the_recipe_learn_and_export(tmp_path):
    try:
        root = data_dir()
        find_weights(load_recipe(RECIPE).model.encoder, root)
    except ConfigError as error:
        pytest.skip(str(error))
    missing = [name for name in SETS if not (root / name).is_dir()]
    if missing:
        pytest.skip(f"the data sets {', '.join(missing)} are missing")
    small = tmp_path / "small.toml"
    small.write_text(
        f'base = "{RECIPE}"\nheight_px = {SIZE_HW_PX[0]}\nwidth_px = {SIZE_HW_PX[1]}\n'
        "[data]\ngland_last_number = 200\nphantom_frames = 20\n"
        "boxed_per_batch = 0\nbreast_per_batch = 0\nother_pictures = false\n"
        "[optim]\ncoarse_share = 0.0\nstop_at_step = 0\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "usassist", "train", str(small), "--epochs", "2", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    onnx_path, manifest_path = (Path(line) for line in done.stdout.split())
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    assert manifest["history"][-1]["epoch"] == 2
    first, last = manifest["history"][0], manifest["history"][-1]
    assert last["loss_total"] < 0.9 * first["loss_total"]
    assert manifest["data_sha256"]["nodule"]["frames"] == 329
    assert onnx_path.stat().st_size < 8e6

    from usassist.training.onnx_file import run_onnx

    outputs = run_onnx(onnx_path, np.zeros((1, 1, *SIZE_HW_PX), np.float32))
    assert all(np.isfinite(array).all() for array in outputs.values())
