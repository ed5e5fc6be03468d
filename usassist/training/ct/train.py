"""The training loop of ``ct_ich``; it may be killed at any time and goes on from its last checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from usassist.common.private_files import replacing
from usassist.errors import ConfigError
from usassist.training.ct.loss import compute_loss
from usassist.training.ct.network import IchNet
from usassist.training.ct.recipe import IchRecipe
from usassist.training.ct.samples import IchBatch, read_samples
from usassist.training.network.encoder import find_weights

__all__ = ["CHECKPOINT", "load_trained", "train"]

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"

_SAVE_EVERY_S = 60.0
_WARM_UP_STEPS = 100
_LAST_RATE = 0.02
_MOST_GRADIENT = 2.0


def train(
    recipe: IchRecipe,
    data_root: Path,
    out_dir: Path,
    *,
    threads: int = 1,
    workers: int = 1,
    precision: str = "bf16",
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> IchNet:
    """Train, or go on with a run that was interrupted.

    Parameters
    ----------
    recipe : of the run
    data_root : folder of the data sets
    out_dir : of the checkpoint
    threads : of PyTorch
    workers : processes that make batches; 0 = this one
    precision : ``bf16`` or ``fp32``
    report : receives the step and the mean of the terms of the loss, every 50 steps

    Returns
    -------
    the network with averaged weights

    Raises
    ------
    ConfigError
        If data is missing, or the checkpoint is of another recipe.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    samples = read_samples(recipe, data_root)
    net = IchNet(recipe.dropout)
    net.load_encoder(find_weights("mobilenet_v2", data_root))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean: IchNet = copy.deepcopy(net).eval()
    encoder = net.encoder_parameters()
    own = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in net.parameters() if id(parameter) not in own]
    optimizer = torch.optim.AdamW(
        [{"params": rest, "share": 1.0}, {"params": encoder, "share": recipe.encoder_rate}],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    step, elapsed_s = _resume(out_dir, recipe, net, mean, optimizer)
    loader: DataLoader[IchBatch] = DataLoader(
        samples,
        batch_size=None,
        sampler=range(step, recipe.stop_after),
        num_workers=workers,
        prefetch_factor=6 if workers else None,
        worker_init_fn=_start_worker,
        multiprocessing_context="spawn" if workers else None,  # a fork of threads that are at work hangs
    )
    sums: dict[str, list[float]] = {}
    started = saved = time.monotonic()
    net.train()
    for batch in loader:
        rate = recipe.learning_rate * _schedule(step, recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        image = batch.image.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            outputs = net(image)
        terms = compute_loss(outputs, batch, recipe)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), _MOST_GRADIENT)
        optimizer.step()
        step += 1
        _average(mean, net, min(recipe.average_decay, (1 + step) / (10 + step)))
        for name, value in terms.items():
            sums.setdefault(name, []).append(float(value.detach()))
        now = time.monotonic()
        if report is not None and (step % 50 == 0 or step == recipe.stop_after):
            report(
                step, {name: float(np.mean(values)) for name, values in sums.items()} | {"s": elapsed_s + now - started}
            )
            sums.clear()
        if now - saved > _SAVE_EVERY_S:
            _save(out_dir, recipe, net, mean, optimizer, step, elapsed_s + now - started)
            saved = now
    _save(out_dir, recipe, net, mean, optimizer, step, elapsed_s + time.monotonic() - started)
    return mean


def load_trained(out_dir: Path) -> tuple[IchNet, dict[str, Any]]:
    """The averaged network of a run, and what its checkpoint says about it (``recipe``, ``step``, ``elapsed_s``).

    Raises
    ------
    ConfigError
        When there is no checkpoint.
    """
    path = out_dir / CHECKPOINT
    if not path.is_file():
        raise ConfigError(f"there is no checkpoint in {out_dir}; train first")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    net = IchNet()
    net.load_state_dict(state["mean"])
    return net.eval(), {key: state[key] for key in ("recipe", "step", "elapsed_s")}


def _start_worker(_number: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _schedule(step: int, steps: int) -> float:
    """Share of the highest rate: a short rise, then a cosine down to 2 %."""
    if step < _WARM_UP_STEPS:
        return (step + 1) / _WARM_UP_STEPS
    done = (step - _WARM_UP_STEPS) / max(steps - _WARM_UP_STEPS, 1)
    return float(_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + np.cos(np.pi * done)))


@torch.no_grad()
def _average(mean: IchNet, net: IchNet, decay: float) -> None:
    for averaged, current in zip(mean.parameters(), net.parameters(), strict=True):
        averaged.lerp_(current, 1 - decay)


def _described(recipe: IchRecipe) -> dict[str, Any]:
    return {**dataclasses.asdict(recipe), "slice_thresholds": list(recipe.slice_thresholds)}


def _save(
    out_dir: Path,
    recipe: IchRecipe,
    net: IchNet,
    mean: IchNet,
    optimizer: torch.optim.Optimizer,
    step: int,
    elapsed_s: float,
) -> None:
    """Write the checkpoint; an interruption leaves the one before."""
    out_dir.mkdir(parents=True, exist_ok=True)
    state = {
        "recipe": _described(recipe),
        "net": net.state_dict(),
        "mean": mean.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "elapsed_s": elapsed_s,
    }
    with replacing(out_dir / CHECKPOINT) as fresh:
        torch.save(state, fresh)


def _resume(
    out_dir: Path, recipe: IchRecipe, net: IchNet, mean: IchNet, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    path = out_dir / CHECKPOINT
    if not path.is_file():
        return 0, 0.0
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    free = ("licence", "intended_use", "mask_threshold", "slice_thresholds")
    before, now = ({k: v for k, v in item.items() if k not in free} for item in (state["recipe"], _described(recipe)))
    if before != now:
        raise ConfigError(f"the checkpoint in {out_dir} was made with another recipe; choose another --out")
    net.load_state_dict(state["net"])
    mean.load_state_dict(state["mean"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["elapsed_s"])
