"""The state of a run: progress, averaged weights, checkpoint and manifest."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from usassist.common.private_files import replacing
from usassist.errors import ConfigError
from usassist.training.network.model import DetectSegmentNet
from usassist.training.recipe import ModelConfig, Recipe

__all__ = [
    "MANIFEST",
    "Progress",
    "WeightAverage",
    "describe_run",
    "load_trained",
    "resume",
    "save_checkpoint",
    "write_manifest",
]

MANIFEST = "manifest.json"
"""Name of the file with the inputs and results of a run."""

_CHECKPOINT = "checkpoint.pt"


@dataclass(slots=True)
class Progress:
    """Progress of a run; stored in the checkpoint and reported after every step.

    Attributes
    ----------
    step : batches done
    elapsed_s : training time, over all resumptions
    share : of the budget, 0 to 1
    loss : running mean of the loss terms
    history : one entry per epoch with the losses, and one per validation
    arithmetic : one entry per start of the run: first step, precision, and measured step times
    """

    step: int = 0
    elapsed_s: float = 0.0
    share: float = 0.0
    loss: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    arithmetic: list[dict[str, Any]] = field(default_factory=list)


class WeightAverage:
    """Exponential moving average of the weights and of the batch-norm statistics."""

    def __init__(self, net: DetectSegmentNet, decay: float):
        self.net = copy.deepcopy(net)
        self.net.eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, net: DetectSegmentNet, step: int) -> None:
        """Update the average with the weights after batch number ``step``; the decay is smaller at the start."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = net.state_dict()
        for name, mean in self.net.state_dict().items():
            if mean.dtype.is_floating_point:
                mean.lerp_(current[name], 1 - decay)
            else:
                mean.copy_(current[name])


def load_trained(out_dir: Path) -> tuple[DetectSegmentNet, Progress]:
    """Load the averaged network of a run's checkpoint, and the progress of the run.

    Raises
    ------
    ConfigError
        When there is no checkpoint.
    """
    path = out_dir / _CHECKPOINT
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint in {out_dir}; train first")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    net = DetectSegmentNet(ModelConfig(**state["recipe"]["model"]))
    net.freeze(net.config.frozen_blocks)
    net.load_state_dict(state["mean"])
    return net.eval(), Progress(**state["progress"])


def describe_run(out_dir: Path) -> dict[str, Any]:
    """Describe a run's checkpoint, for the manifest of a run that starts from it.

    Returns
    -------
    ``recipe``, ``steps``, ``elapsed_s``, ``history``, ``checkpoint_sha256``, and ``started_from``: the same for the run
    that it started from itself, if its manifest exists
    """
    path, manifest = out_dir / _CHECKPOINT, out_dir / MANIFEST
    before = json.loads(manifest.read_text(encoding="utf-8"))["started_from"] if manifest.is_file() else None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return {
        "recipe": state["recipe"],
        "steps": state["progress"]["step"],
        "elapsed_s": round(state["progress"]["elapsed_s"], 1),
        "history": state["progress"]["history"],
        "checkpoint_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "started_from": before,
    }


def write_manifest(path: Path, recipe: Recipe, progress: Progress, facts: dict[str, Any]) -> None:
    """Write the manifest of a run as JSON.

    Parameters
    ----------
    path : the file
    recipe : of the run
    progress : at its end
    facts : data fingerprints, commit etc.
    """
    document = {
        "schema": 1,
        "engine": recipe.engine,
        "version": recipe.version,
        "written_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.as_dict(),
        "torch": torch.__version__,
        "steps": progress.step,
        "images_seen": progress.step * recipe.data.batch_size,
        "elapsed_s": round(progress.elapsed_s, 1),
        "arithmetic": progress.arithmetic,
        "history": progress.history,
        **facts,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def save_checkpoint(
    out_dir: Path,
    recipe: Recipe,
    net: DetectSegmentNet,
    mean: WeightAverage,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write the checkpoint atomically: an interruption leaves the previous one intact."""
    out_dir.mkdir(parents=True, exist_ok=True)
    state = {
        "recipe": recipe.as_dict(),
        "net": net.state_dict(),
        "mean": mean.net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
    }
    with replacing(out_dir / _CHECKPOINT) as fresh:
        torch.save(state, fresh)


def resume(
    out_dir: Path, recipe: Recipe, net: DetectSegmentNet, mean: WeightAverage, optimizer: torch.optim.Optimizer
) -> Progress:
    """Restore a run from its checkpoint; without one, it starts at step 0.

    Raises
    ------
    ConfigError
        When the checkpoint belongs to another recipe.
    """
    path = out_dir / _CHECKPOINT
    if not path.is_file():
        return Progress()
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if _without_precision(state["recipe"]) != _without_precision(recipe.as_dict()):
        raise ConfigError(f"the checkpoint in {out_dir} was made with another recipe; choose another --out")
    net.load_state_dict(state["net"])
    mean.net.load_state_dict(state["mean"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def _without_precision(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the precision, which may change when a run is resumed."""
    optim = {name: value for name, value in recipe["optim"].items() if name not in ("precision", "bf16")}
    return {**recipe, "optim": optim}
