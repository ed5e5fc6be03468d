"""The folder of the engine ``ct_ich`` from a run: ``python -m usassist.training.ct RECIPE --out DIR --engines DIR``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.haemorrhage.preprocess import prepare_slice
from usassist.phantom.ct.head import HeadBleed, render_planes
from usassist.phantom.ct.head_anatomy import Tissue
from usassist.phantom.ct.render import Scanner
from usassist.training.ct.export import EngineText, export_onnx, write_engine, write_golden
from usassist.training.ct.recipe import IchRecipe
from usassist.training.ct.train import load_trained

__all__ = ["make_golden_input", "write_engine_folder"]

_GOLDEN_SEED = 5
_GOLDEN_BLEEDS = (
    HeadBleed(kind=Tissue.INTRAPARENCHYMAL, centre_mm=(32.0, -8.0, 6.0), semi_mm=(14.0, 17.0, 14.0), hu=66.0),
    HeadBleed(kind=Tissue.EXTRA_AXIAL, centre_mm=(-55.0, 12.0, 8.0), semi_mm=(36.0, 11.0, 30.0), hu=64.0),
)


def make_golden_input() -> npt.NDArray[np.float32]:
    """Input of the golden sample, float32 (1, 3, 256, 256): a slice of the simulated head with two bleeds."""
    scanner = Scanner(blur_px=0.8, noise_hu=2.0, grain_px=1.0)
    planes = render_planes(_GOLDEN_SEED, (1, 256, 256), (3.0, 0.8, 0.8), _GOLDEN_BLEEDS, scanner=scanner)
    hu, _ = next(iter(planes))
    tensor, _ = prepare_slice(hu)
    return tensor[None]


def write_engine_folder(recipe: IchRecipe, run_dir: Path, engines_dir: Path) -> Path:
    """Write ``engines_dir/<name>/<version>`` with the model, ``engine.toml`` and the golden sample.

    Raises
    ------
    ConfigError
        When there is no checkpoint in `run_dir`.
    EngineSpecError
        When the exported model is wrong or too large.
    """
    net, _ = load_trained(run_dir)
    folder = engines_dir / recipe.engine / recipe.version
    golden = make_golden_input()
    probe = np.concatenate([golden, golden[..., ::-1], golden[..., ::-1, :]])
    export_onnx(net, folder / "model.onnx", probe, recipe.mask_threshold)
    write_golden(folder / "model.onnx", golden, folder / "golden" / "golden.npz")
    text = EngineText(
        name=recipe.engine,
        version=recipe.version,
        licence=recipe.licence,
        intended_use=recipe.intended_use,
        slice_thresholds=recipe.slice_thresholds,
    )
    write_engine(folder, text)
    return folder
