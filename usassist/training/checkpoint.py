"""What is kept of a run: its progress, the running mean of its weights, the checkpoint and the manifest."""

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
from usassist.training.model import DetectSegmentNet
from usassist.training.recipe import ModelConfig, Recipe

__all__ = ["MANIFEST", "Progress", "WeightAverage", "describe", "load_trained", "resume", "save", "write_manifest"]

MANIFEST = "manifest.json"
"""Name of the file that says what a run was made from and what came out."""

_CHECKPOINT = "checkpoint.pt"


@dataclass(slots=True)
class Progress:
    """How far a run is; kept in the checkpoint and told to whoever watches.

    Attributes
    ----------
    step : batches done
    elapsed_s : time spent training, over all resumptions
    share : of the budget, 0 to 1
    loss : running mean of the loss's parts
    history : one entry per epoch with the losses, and one per validation
    arithmetic : one entry per start of the run: from which step on, in which precision, and what was measured
    """

    step: int = 0
    elapsed_s: float = 0.0
    share: float = 0.0
    loss: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    arithmetic: list[dict[str, Any]] = field(default_factory=list)


class WeightAverage:
    """Exponential running mean of the weights and of the batch norms' statistics."""

    def __init__(self, net: DetectSegmentNet, decay: float):
        self.net = copy.deepcopy(net)
        self.net.eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, net: DetectSegmentNet, step: int) -> None:
        """Take the weights after batch number ``step`` into the mean; early batches are forgotten faster."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = net.state_dict()
        for name, mean in self.net.state_dict().items():
            if mean.dtype.is_floating_point:
                mean.lerp_(current[name], 1 - decay)
            else:
                mean.copy_(current[name])


def load_trained(out_dir: Path) -> tuple[DetectSegmentNet, Progress]:
    """The averaged network of a run's checkpoint, and how far the run came.

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


def describe(out_dir: Path) -> dict[str, Any]:
    """What a run's checkpoint is, for the manifest of a run that starts from it.

    Returns
    -------
    ``recipe``, ``steps``, ``elapsed_s``, ``history``, ``checkpoint_sha256``, and ``started_from``: the same about the
    run that it started from itself, as far as its manifest is there
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
    """Write what was run on what, and what came out, as JSON.

    Parameters
    ----------
    path : the file
    recipe : the run
    progress : at its end
    facts : data fingerprints, commit and the like
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


def save(
    out_dir: Path,
    recipe: Recipe,
    net: DetectSegmentNet,
    mean: WeightAverage,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write the checkpoint so that an interruption leaves the previous one whole."""
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
    """Put a run back to where its checkpoint left it; without one, it starts at 0.

    Raises
    ------
    ConfigError
        When the checkpoint belongs to another recipe.
    """
    path = out_dir / _CHECKPOINT
    if not path.is_file():
        return Progress()
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if _lasting(state["recipe"]) != _lasting(recipe.as_dict()):
        raise ConfigError(f"the checkpoint in {out_dir} was made with another recipe; choose another --out")
    net.load_state_dict(state["net"])
    mean.net.load_state_dict(state["mean"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def _lasting(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the precision, which may change from one start of a run to the next."""
    optim = {name: value for name, value in recipe["optim"].items() if name not in ("precision", "bf16")}
    return {**recipe, "optim": optim}
