"""The training loop of the teacher of outlines: budget, schedule, averaged weights, checkpoint."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from usassist.common.private_files import replacing
from usassist.common.signals import set_on_signal
from usassist.errors import ConfigError
from usassist.training.precision import PrecisionChoice
from usassist.training.teacher.batches import BoxBatchMaker
from usassist.training.teacher.net import BoxLossParts, BoxOutlineNet, box_outline_loss

__all__ = ["CHECKPOINT", "TeacherConfig", "TeacherState", "load_teacher", "train_teacher"]

logger = logging.getLogger(__name__)

CHECKPOINT = "teacher.pt"
"""Name of the file with weights and progress, in the folder of a run."""

_WARMUP_SHARE = 0.04
_CLIP_NORM = 5.0
_EVERY_STEPS = 100  # a line with the loss; a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """The settings of a teacher.

    Attributes
    ----------
    seed : of weights and batches
    steps, minutes : the budget, whichever is used up first
    size_px : side of the crops, a multiple of 32
    ddti, busi, phantom, boxed : crops of each set in a batch; ``boxed``: of TN5000, with boxes only
    phantom_frames : simulated scenes
    learning_rate, encoder_learning_rate, weight_decay : of AdamW
    average_decay : of the moving average of the weights
    """

    seed: int = 1
    steps: int = 2400
    minutes: float = 12.0
    size_px: int = 128
    ddti: int = 5
    busi: int = 5
    phantom: int = 2
    boxed: int = 4
    phantom_frames: int = 300
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 7e-4
    weight_decay: float = 0.02
    average_decay: float = 0.99

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.steps < 1 or self.minutes <= 0:
            raise ConfigError("--steps and --minutes must be positive")
        if self.size_px < 32 or self.size_px % 32:
            raise ConfigError(f"--size must be a multiple of 32, got {self.size_px}")
        if self.phantom_frames < 1:
            raise ConfigError("--phantom must be at least 1")


@dataclass(slots=True)
class TeacherState:
    """Progress of a teacher; stored in its checkpoint.

    Attributes
    ----------
    step : batches done
    elapsed_s : training time, over all resumptions
    history : mean loss terms of every hundred batches
    arithmetic : precision of each start
    """

    step: int = 0
    elapsed_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    arithmetic: list[dict[str, Any]] = field(default_factory=list)


def train_teacher(
    config: TeacherConfig, maker: BoxBatchMaker, out_dir: Path, *, encoder_npz: Path | None, precision: PrecisionChoice
) -> tuple[BoxOutlineNet, TeacherState]:
    """Train until the budget is used up; resumes from a checkpoint in ``out_dir``.

    Returns
    -------
    the averaged network, in evaluation mode, and the progress

    Raises
    ------
    ConfigError
        When the checkpoint belongs to other settings.
    KeyboardInterrupt
        After SIGINT or SIGTERM, once the step that ran is done and its checkpoint is written.
    """
    torch.manual_seed(config.seed)
    net = (
        BoxOutlineNet() if encoder_npz is None else BoxOutlineNet.pretrained(encoder_npz, maker.make(0).inputs[:, :1])
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    optimizer = _optimizer(net, config)
    state = _resume(out_dir, config, net, mean, optimizer)
    state.arithmetic.append({"from_step": state.step, **precision.as_dict()})
    started_s = time.monotonic() - state.elapsed_s
    recent: list[Tensor] = []
    net.train()

    def save() -> None:
        out_dir.mkdir(parents=True, exist_ok=True)
        document = {
            "config": asdict(config),
            "net": net.state_dict(),
            "mean": mean.state_dict(),
            "optimizer": optimizer.state_dict(),
            "state": asdict(state),
        }
        with replacing(out_dir / CHECKPOINT) as fresh:
            torch.save(document, fresh)

    stop = threading.Event()
    with set_on_signal(stop):
        while (
            not stop.is_set()
            and (share := max(state.step / config.steps, state.elapsed_s / (60 * config.minutes))) < 1.0
        ):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * _schedule(share)
            recent.append(torch.stack(list(_step(net, maker, state.step, optimizer, bf16=precision.is_bf16))))
            mean.update_parameters(net)
            state.step += 1
            state.elapsed_s = time.monotonic() - started_s
            if state.step % _EVERY_STEPS == 0:
                losses = torch.stack(recent).mean(0).tolist()
                recent.clear()
                entry = dict(zip(BoxLossParts._fields, (round(loss, 4) for loss in losses), strict=True))
                state.history.append({"step": state.step, "elapsed_s": round(state.elapsed_s, 1), **entry})
                logger.info("%s", state.history[-1])
                save()
        save()
    if stop.is_set():
        raise KeyboardInterrupt(f"stopped after {state.step} steps; the same command resumes from there")
    trained = mean.module
    assert isinstance(trained, BoxOutlineNet)
    return trained.eval(), state


def load_teacher(out_dir: Path) -> tuple[BoxOutlineNet, TeacherConfig]:
    """Load the averaged network of a checkpoint, in evaluation mode, and its settings.

    Raises
    ------
    ConfigError
        When there is no checkpoint.
    """
    path = out_dir / CHECKPOINT
    if not path.is_file():
        raise ConfigError(f"there is no {CHECKPOINT} in {out_dir}; train first")
    document: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "module."
    weights = {name.removeprefix(prefix): value for name, value in document["mean"].items() if name.startswith(prefix)}
    return BoxOutlineNet.like(weights), TeacherConfig(**document["config"])


def _step(
    net: BoxOutlineNet, maker: BoxBatchMaker, step: int, optimizer: torch.optim.Optimizer, *, bf16: bool
) -> BoxLossParts:
    batch = maker.make(step)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logit = net(batch.inputs.contiguous(memory_format=torch.channels_last))
    parts = box_outline_loss(logit, batch)
    optimizer.zero_grad(set_to_none=True)
    parts.total.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), _CLIP_NORM)
    if bool(torch.isfinite(norm)):
        optimizer.step()
    else:
        logger.warning("skipped a batch whose gradient is not finite")
    return BoxLossParts(*(part.detach() for part in parts))


def _schedule(share: float) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine down to 0."""
    if share < _WARMUP_SHARE:
        return (share + 1e-3) / (_WARMUP_SHARE + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - _WARMUP_SHARE) / (1 - _WARMUP_SHARE))))


def _optimizer(net: BoxOutlineNet, config: TeacherConfig) -> torch.optim.Optimizer:
    """AdamW without weight decay of norms and biases."""
    encoder = {id(parameter) for parameter in net.encoder_parameters()}
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for parameter in (parameter for parameter in net.parameters() if parameter.requires_grad):
        groups.setdefault((id(parameter) in encoder, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": config.encoder_learning_rate if in_encoder else config.learning_rate,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for (in_encoder, decays), parameters in groups.items()
        ],
        lr=config.learning_rate,
    )


def _resume(
    out_dir: Path,
    config: TeacherConfig,
    net: BoxOutlineNet,
    mean: torch.optim.swa_utils.AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> TeacherState:
    path = out_dir / CHECKPOINT
    if not path.is_file():
        return TeacherState()
    document: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if document["config"] != asdict(config):
        raise ConfigError(f"the checkpoint in {out_dir} was made with other settings; choose another --out")
    net.load_state_dict(document["net"])
    mean.load_state_dict(document["mean"])
    optimizer.load_state_dict(document["optimizer"])
    return TeacherState(**document["state"])
