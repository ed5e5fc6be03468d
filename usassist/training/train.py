"""The training loop: budget, schedule and validation."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from usassist.common.signals import set_on_signal
from usassist.errors import ConfigError
from usassist.frames import letterbox
from usassist.training.checkpoint import Progress, WeightAverage, load_trained, resume, save_checkpoint
from usassist.training.data.augment import Augmenter
from usassist.training.data.batches import BatchMaker, Prefetcher, TrainFrames
from usassist.training.data.sample import Sample
from usassist.training.network.loss import Batch, LossParts, detect_segment_loss
from usassist.training.network.model import DetectSegmentNet, ExportModule
from usassist.training.precision import PrecisionChoice, choose_precision
from usassist.training.recipe import Recipe

__all__ = ["TrainData", "train", "validate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainData:
    """The frames of a run.

    Attributes
    ----------
    frames : training frames
    validation : labelled frames that are not trained on
    augmenter : random changes
    encoder_weights : file of ImageNet weights, or None for random initialisation
    terms : under which the sets are used, for the manifest
    """

    frames: TrainFrames
    validation: Sequence[Sample]
    augmenter: Augmenter
    encoder_weights: Path | None
    terms: Sequence[Mapping[str, object]] = ()


def train(
    recipe: Recipe,
    data: TrainData,
    out_dir: Path,
    *,
    start_dirs: Sequence[Path] = (),
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> DetectSegmentNet:
    """Train until the budget is used up, and return the averaged network. Resumes from a checkpoint in ``out_dir``.

    Parameters
    ----------
    recipe : the run
    data : the frames
    out_dir : for the checkpoint
    start_dirs : folders of other runs; this one starts from the mean of their averaged weights, or, without any, from
        the encoder's weights
    on_step : called after every step

    Raises
    ------
    ConfigError
        When the checkpoint belongs to another recipe, or a run in ``start_dirs`` has another network.
    KeyboardInterrupt
        After SIGINT or SIGTERM, once the step that ran is done and its checkpoint is written.
    """
    optim = recipe.optim
    torch.set_num_threads(optim.threads)
    cv2.setNumThreads(1)
    precision = choose_precision(optim.precision, optim.threads)
    torch.manual_seed(recipe.seed)
    maker = BatchMaker(recipe, data.augmenter, data.frames)
    net = _average_networks(recipe, start_dirs) if start_dirs else _init_network(recipe, data, maker)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = WeightAverage(net, optim.average_decay)
    optimizer = _optimizer(net, recipe)
    progress = resume(out_dir, recipe, net, mean, optimizer)
    progress.arithmetic.append({"from_step": progress.step, **precision.as_dict()})
    started_s = time.monotonic() - progress.elapsed_s

    def share_now() -> float:
        return max(progress.step / optim.steps, (time.monotonic() - started_s) / (60 * optim.wall_clock_min))

    net.train()
    stop = threading.Event()
    with (
        set_on_signal(stop),
        Prefetcher(lambda step: maker.make(step, recipe.size_hw_px_at(share_now())), progress.step) as batches,
    ):
        while not stop.is_set() and (share := share_now()) < 1.0 and progress.step != (optim.stop_at_step or -1):
            if share >= 1.0 - optim.rounding_share:
                net.enable_fake_quantisation()
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * _schedule(share, optim.warmup_share)
            parts = _step(net, batches.get(), optimizer, recipe, precision)
            mean.update(net, progress.step)
            progress.step += 1
            progress.elapsed_s, progress.share = time.monotonic() - started_s, min(1.0, share_now())
            _update_loss(progress, parts)
            if optim.validate_every_steps and progress.step % optim.validate_every_steps == 0:
                _record(progress, data, recipe, validate(mean.net, data.validation, recipe.size_hw_px))
            elif _epoch(progress.step, data, recipe) > _epoch(progress.step - 1, data, recipe):
                _record(progress, data, recipe, {})
            if optim.checkpoint_every_steps and progress.step % optim.checkpoint_every_steps == 0:
                save_checkpoint(out_dir, recipe, net, mean, optimizer, progress)
            on_step(progress)
        if not stop.is_set():
            _record(progress, data, recipe, validate(mean.net, data.validation, recipe.size_hw_px))
        save_checkpoint(out_dir, recipe, net, mean, optimizer, progress)
    if stop.is_set():
        raise KeyboardInterrupt(f"stopped after {progress.step} steps; the same command resumes from there")
    on_step(progress)
    return mean.net


def _init_network(recipe: Recipe, data: TrainData, maker: BatchMaker) -> DetectSegmentNet:
    net = DetectSegmentNet(recipe.model)
    if data.encoder_weights is not None:
        net.load_encoder(data.encoder_weights, maker.make(0, recipe.size_hw_px).image)
    net.freeze(recipe.model.frozen_blocks)
    return net


def _average_networks(recipe: Recipe, start_dirs: Sequence[Path]) -> DetectSegmentNet:
    """The mean of the networks of other runs (Wortsman et al., Model soups, ICML 2022)."""
    net = DetectSegmentNet(recipe.model)
    net.freeze(recipe.model.frozen_blocks)
    fresh = tuple(f"{name}." for name in recipe.model.fresh)
    states = [load_trained(start_dir)[0].state_dict() for start_dir in start_dirs]
    try:
        for state in states:
            kept = {name: value for name, value in state.items() if not name.startswith(fresh)}
            net.load_state_dict({**{n: v for n, v in net.state_dict().items() if n.startswith(fresh)}, **kept})
        mean = {
            name: torch.stack([state[name] for state in states]).mean(0) if value.dtype.is_floating_point else value
            for name, value in kept.items()
        }
    except RuntimeError as error:
        raise ConfigError("a run of --start trained another network than this recipe; choose another") from error
    net.load_state_dict(mean, strict=False)
    return net


@torch.no_grad()
def validate(net: DetectSegmentNet, samples: Sequence[Sample], size_hw_px: tuple[int, int]) -> dict[str, float]:
    """Monitor a run: mean Dice at the mask's resolution, and the mean score inside and outside the nodules.

    This is not the evaluation of the engine, which uses the whole live path; see :mod:`usassist.evaluation`.
    """
    module = ExportModule(net).eval()
    dice: list[float] = []
    inside: list[float] = []
    outside: list[float] = []
    for sample in samples:
        padded, _ = letterbox(sample.image, size_hw_px)
        nodule, _ = letterbox(sample.nodule, size_hw_px)
        mask_prob, center_score, *_ = module(torch.from_numpy(padded)[None, None].float() / 255.0)
        found = mask_prob[0, 0].numpy() >= 0.5
        truth = nodule[1::2, 1::2] > 0
        dice.append(float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum())))
        score = center_score[0, 0].numpy()
        cells = nodule[4::8, 4::8] > 0
        inside.append(float(score[cells].max(initial=0.0)))
        outside.append(float(score[~cells].max(initial=0.0)))
    return {
        "val_dice": float(np.mean(dice)) if dice else 0.0,
        "val_score_inside": float(np.mean(inside)) if inside else 0.0,
        "val_score_outside": float(np.mean(outside)) if outside else 0.0,
    }


def _optimizer(net: DetectSegmentNet, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW without weight decay of norms and biases, and with a separate learning rate of the encoder."""
    encoder = {id(parameter) for parameter in net.encoder_parameters()}
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for parameter in (parameter for parameter in net.parameters() if parameter.requires_grad):
        groups.setdefault((id(parameter) in encoder, parameter.ndim > 1), []).append(parameter)
    optim = recipe.optim
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": optim.encoder_learning_rate if in_encoder else optim.learning_rate,
                "weight_decay": optim.weight_decay if decays else 0.0,
            }
            for (in_encoder, decays), parameters in groups.items()
        ],
        lr=optim.learning_rate,
    )


def _schedule(share: float, warmup_share: float) -> float:
    """Learning-rate factor: linear warm-up from 0 to 1, then half a cosine down to 0."""
    if share < warmup_share:
        return (share + 1e-3) / (warmup_share + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup_share) / max(1e-9, 1 - warmup_share))))


def _step(
    net: DetectSegmentNet, batch: Batch, optimizer: torch.optim.Optimizer, recipe: Recipe, precision: PrecisionChoice
) -> LossParts:
    image = batch.image.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision.is_bf16):
        raw = net(image)
    parts = detect_segment_loss(raw, batch, recipe.model)
    optimizer.zero_grad(set_to_none=True)
    parts.total.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.optim.clip_norm)
    if bool(torch.isfinite(norm)):
        optimizer.step()
    else:
        logger.warning("skipped a batch whose gradient is not finite")
    return parts


def _update_loss(progress: Progress, parts: LossParts) -> None:
    for name, value in zip(parts._fields, parts, strict=True):
        now = float(value.detach())
        progress.loss[name] = now if name not in progress.loss else 0.97 * progress.loss[name] + 0.03 * now


def _epoch(step: int, data: TrainData, recipe: Recipe) -> int:
    """Number of complete epochs over the frames with nodules after this many batches."""
    return step * recipe.data.nodule_per_batch // max(1, len(data.frames.nodule))


def _record(progress: Progress, data: TrainData, recipe: Recipe, figures: dict[str, float]) -> None:
    """Append losses and validation figures to the history; a later entry of the same step replaces the earlier."""
    losses = {f"loss_{name}": round(value, 4) for name, value in progress.loss.items()}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    where = {"step": progress.step, "epoch": _epoch(progress.step, data, recipe)}
    entry = {**where, "elapsed_s": round(progress.elapsed_s, 1), **losses, **rounded}
    if progress.history and progress.history[-1]["step"] == progress.step:
        progress.history.pop()
    progress.history.append(entry)
    if figures:
        logger.info("%s", entry)
