"""Batches, prefetched in one background thread while the network trains.

Batch number ``n`` depends on the recipe's seed and ``n`` alone, so a resumed run gets the same batches as an
uninterrupted one.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usassist.training.data.augment import Augmenter
from usassist.training.data.compose import compose_dual_view, crop_nodule_free, paste_nodule
from usassist.training.data.sample import Sample
from usassist.training.network.loss import Batch, Targets, make_targets
from usassist.training.recipe import Recipe

__all__ = ["BatchMaker", "Prefetcher", "TrainFrames"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainFrames:
    """The training frames by kind.

    Attributes
    ----------
    nodule : with outlined nodules
    gland : with the gland marked and no nodule
    phantom : simulated
    boxed : with one nodule box each
    breast : with outlined lesions of the breast
    other : of something else, without nodules
    corrections : of recorded sessions, as readers corrected them; with nodules or without
    """

    nodule: Sequence[Sample]
    gland: Sequence[Sample] = ()
    phantom: Sequence[Sample] = ()
    boxed: Sequence[Sample] = ()
    breast: Sequence[Sample] = ()
    other: Sequence[Sample] = ()
    corrections: Sequence[Sample] = ()


class BatchMaker:
    """Draws, augments and stacks frames.

    Parameters
    ----------
    recipe : number of frames of each kind
    augmenter : random changes
    frames : to draw from
    """

    def __init__(self, recipe: Recipe, augmenter: Augmenter, frames: TrainFrames) -> None:
        self._recipe, self._augmenter, self._frames = recipe, augmenter, frames
        self._donors = [*frames.nodule, *(sample for sample in frames.boxed if sample.outline_known)]
        power = recipe.data.look_power
        self._shares = {
            kind: _draw_shares(getattr(frames, kind), power)
            for kind in TrainFrames.__dataclass_fields__
            if power < 1.0 and getattr(frames, kind)
        }

    def make(self, step: int, size_hw_px: tuple[int, int]) -> Batch:
        """Make batch number ``step`` at an input size."""
        recipe, data = self._recipe, self._recipe.data
        rng = np.random.default_rng((recipe.seed, step))
        chosen = [self._with_dual_view(sample, rng) for sample in self._draw("nodule", 1, step, data.nodule_per_batch)]
        for sample in self._draw("gland", 2, step, data.gland_per_batch):
            if rng.random() < data.paste_share:
                sample = paste_nodule(sample, self._donors[int(rng.integers(len(self._donors)))], rng)
            chosen.append(sample)
        chosen += self._draw("phantom", 3, step, data.phantom_per_batch)
        chosen += self._draw("other", 4, step, data.other_per_batch)
        chosen += self._draw("boxed", 5, step, data.boxed_per_batch)
        chosen += self._draw("breast", 6, step, data.breast_per_batch)
        chosen += self._draw("corrections", 7, step, data.corrections_per_batch)
        free_p = recipe.augment.nodule_free_p
        images: list[Tensor] = []
        targets: list[Targets] = []
        for sample in chosen:
            if rng.random() < free_p and sample.is_thyroid and sample.nodule.any():
                sample = crop_nodule_free(sample) or sample
            image, nodule, gland = self._augmenter(sample, size_hw_px, rng)
            images.append(torch.from_numpy(image)[None])
            targets.append(
                make_targets(
                    nodule,
                    gland,
                    outline_known=sample.outline_known,
                    is_thyroid=sample.is_thyroid,
                    unmarked_weight=1.0 if sample.all_marked else data.unmarked_weight,
                )
            )
        return Batch(
            image=torch.stack(images).float() / 255.0,
            mask=torch.from_numpy(np.stack([target.mask for target in targets])[:, None]),
            gland=torch.from_numpy(np.stack([target.gland for target in targets])[:, None]),
            mask_weight=torch.from_numpy(np.stack([target.mask_weight for target in targets])[:, None]),
            outline_known=torch.tensor([float(sample.outline_known) for sample in chosen]),
            is_thyroid=torch.tensor([float(sample.is_thyroid) for sample in chosen]),
            gland_known=torch.tensor([float(sample.gland.any()) for sample in chosen]),
            heat=torch.from_numpy(np.stack([target.heat for target in targets])[:, None]),
            weight=torch.from_numpy(np.stack([target.weight for target in targets])[:, None]),
            ltrb_px=torch.from_numpy(np.stack([target.ltrb_px for target in targets])),
        )

    def _with_dual_view(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The frame, or a dual view of it and another frame."""
        if rng.random() >= self._recipe.data.dual_share:
            return sample
        frames = self._frames
        others = frames.nodule if rng.random() < 0.5 or not frames.gland else frames.gland
        pair = [sample, others[int(rng.integers(len(others)))]]
        return compose_dual_view(*(pair if rng.random() < 0.5 else pair[::-1]))

    def _draw(self, kind: str, number: int, step: int, count: int) -> list[Sample]:
        """The next ``count`` samples of an endless sequence of shuffled epochs, or by look where looks are balanced."""
        samples: Sequence[Sample] = getattr(self._frames, kind)
        if not samples:
            return []
        seed = self._recipe.seed
        shares = self._shares.get(kind)
        if shares is not None:
            rng = np.random.default_rng((seed, number, step))
            return [samples[place] for place in rng.choice(len(samples), count, p=shares)]
        drawn: list[Sample] = []
        for position in range(step * count, (step + 1) * count):
            epoch, place = divmod(position, len(samples))
            order = np.random.default_rng((seed, number, epoch)).permutation(len(samples))
            drawn.append(samples[order[place]])
        return drawn


def _draw_shares(samples: Sequence[Sample], power: float) -> npt.NDArray[np.float64]:
    """The probability of each sample, so that a look with n of them has one in proportion to n to ``power``."""
    counts = Counter(sample.look for sample in samples)
    shares = np.array([counts[sample.look] ** (power - 1.0) for sample in samples])
    return np.asarray(shares / shares.sum(), np.float64)


class Prefetcher:
    """Makes batches in a thread, a few steps ahead.

    Parameters
    ----------
    make : returns the batch of a step
    first_step : number of the first batch
    ahead : number of prefetched batches
    """

    def __init__(self, make: Callable[[int], Batch], first_step: int, ahead: int = 3):
        self._make = make
        self._next = first_step
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def get(self) -> Batch:
        """The next batch; re-raises an exception of the thread."""
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                item: Batch | BaseException = self._make(self._next)
            except Exception as error:  # noqa: BLE001 - re-raised in the training loop
                item = error
            self._next += 1
            while not self._stop.is_set():
                try:
                    self._ready.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return
