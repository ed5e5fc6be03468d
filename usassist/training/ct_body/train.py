"""``python -m usassist.training.ct_body.train --recipe FILE --out DIR``: train ``ct_bodycomp`` on simulated abdomens.

One thread, a fixed time, a checkpoint every minute; started again with the same folder, it goes on from the last one.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from usassist.modalities.ct.body.preprocess import SIZE_YX_PX, window_planes
from usassist.phantom.ct.abdomen_plan import BODY_TYPES
from usassist.training.ct_body.net import CLASSES, BodyNet
from usassist.training.ct_body.planes import FIRST_VALIDATION_SEED, Pool, alter, draw_sample

__all__ = ["body_loss", "main", "train", "validate"]

_CHECKPOINT_S = 60.0
_VALIDATION_PLANES = 48


def body_loss(logits: Tensor, target: Tensor, class_weights: Sequence[float]) -> Tensor:
    """Weighted cross-entropy plus one minus the mean Dice of the compartments inside the body.

    Parameters
    ----------
    logits : float32 (B, 5, H, W)
    target : int64 (B, H, W)
    class_weights : of outside, subcutaneous, muscle, cavity, bone in the cross-entropy
    """
    weights = torch.tensor(list(class_weights))
    entropy = functional.cross_entropy(logits, target, weight=weights)
    prob = torch.softmax(logits, 1)
    truth = functional.one_hot(target, CLASSES).permute(0, 3, 1, 2).float()
    both, sums = (prob * truth).sum((0, 2, 3)), (prob + truth).sum((0, 2, 3))
    dice = (2 * both + 1) / (sums + 1)
    return entropy + 0.5 * (1 - dice[1:].mean())


def validate(net: BodyNet, planes: int = _VALIDATION_PLANES) -> dict[str, float]:
    """Mean Dice of each compartment on abdomens that are never trained on."""
    names = list(BODY_TYPES)
    both, sums = np.zeros(CLASSES), np.zeros(CLASSES)
    net.eval()
    for number in range(planes):
        seed = FIRST_VALIDATION_SEED + number
        rng = np.random.default_rng([seed, 0xF1])
        hu, labels = draw_sample(seed, float(rng.uniform(-85, 140)), names[number % len(names)])
        hu, labels = alter(hu, labels, rng)
        image = np.empty((1, 3, *SIZE_YX_PX), np.float32)
        window_planes(hu, image[0])
        with torch.no_grad():
            found = net(torch.from_numpy(image)).argmax(1)[0].numpy()
        for label in range(CLASSES):
            both[label] += 2 * ((found == label) & (labels == label)).sum()
            sums[label] += (found == label).sum() + (labels == label).sum()
    net.train()
    return dict(
        zip(("outside", "subcutaneous", "muscle", "cavity", "bone"), (both / sums).round(4).tolist(), strict=True)
    )


def train(
    out: Path,
    *,
    minutes: float,
    batch: int,
    pool: int,
    rate: float,
    seed: int,
    class_weights: Sequence[float],
    first_abdomen: int = 1,
    schedule_minutes: float = 0.0,
    start: Path | None = None,
) -> None:
    """Train for a time, counted over all starts, and leave ``checkpoint.pt`` and ``log.jsonl`` in `out`.

    Parameters
    ----------
    out : folder of the run; where it has a checkpoint, training goes on from it
    minutes : of training
    batch : pictures a step
    pool : planes that are kept ready
    rate : highest learning rate
    seed : of the weights
    class_weights : see :func:`body_loss`
    first_abdomen : seed of the first simulated abdomen
    schedule_minutes : after which the learning rate would be 0; 0 = `minutes`
    start : folder of a run whose averaged weights are the first ones; None = random ones
    """
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    net, path = BodyNet().to(memory_format=torch.channels_last), out / "checkpoint.pt"  # type: ignore[call-overload]
    if start is not None:
        net.load_state_dict(torch.load(start / "checkpoint.pt", weights_only=True)["average"])
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    step, spent_s = 0, 0.0
    if path.is_file():
        state = torch.load(path, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent_s = int(state["step"]), float(state["spent_s"])
    planes = Pool(pool, seed=first_abdomen + 17 * step)
    while planes.ready < pool // 8:
        planes.renew()
    start_s, saved_s, losses = time.monotonic() - spent_s, spent_s, []
    while (spent_s := time.monotonic() - start_s) < minutes * 60:
        share = min(spent_s / ((schedule_minutes or minutes) * 60), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = float(rate * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-5)
        for _ in range(3 if planes.ready < pool else 1):
            planes.renew()
        images, targets = planes.batch(batch)
        loss = body_loss(
            net(torch.from_numpy(images).to(memory_format=torch.channels_last)),
            torch.from_numpy(targets),
            class_weights,
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
        step += 1
        _blend(average, net, min(0.995, step / (step + 20)))
        if spent_s - saved_s > _CHECKPOINT_S or (spent_s / 60 > minutes - 0.05 and spent_s - saved_s > 5):
            saved_s = spent_s
            _save(path, net, average, optimizer, step, spent_s)
            figures = {"step": step, "spent_s": round(spent_s), "loss": round(float(np.mean(losses)), 4)}
            with (out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({**figures, **validate(average)}) + "\n")
            losses = []
    _save(path, net, average, optimizer, step, minutes * 60)


def _blend(average: BodyNet, net: BodyNet, keep: float) -> None:
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


def _save(path: Path, net: BodyNet, average: BodyNet, optimizer: Any, step: int, spent_s: float) -> None:
    state = {
        "net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
        "step": step, "spent_s": spent_s,
    }  # fmt: skip
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m usassist.training.ct_body.train", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; where it has one, training goes on")
    parser.add_argument("--start", type=Path, help="folder of the run to start from")
    parser.add_argument("--minutes", type=float, help="instead of the recipe's")
    options = parser.parse_args(arguments)
    try:
        recipe = tomllib.loads(options.recipe.read_text(encoding="utf-8"))["train"]
        if options.minutes is not None:
            recipe["minutes"] = options.minutes
        torch.set_num_threads(1)
        train(options.out, start=options.start, **recipe)
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        sys.stderr.write(f"error: the recipe cannot be used: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
