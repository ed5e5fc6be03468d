"""Frames of the simulated scanner, with exact masks."""

from __future__ import annotations

import cv2
import numpy as np

from usassist.phantom import PhantomScanner, draw_training_scene
from usassist.training.data.sample import Sample, nothing_marked

__all__ = ["load_phantom"]

_MAX_HW_PX = (400, 600)  # larger images are reduced once, because the later warp does not average


def load_phantom(count: int, first_seed: int, crossing_share: float) -> list[Sample]:
    """Simulated frames with exact masks: one scene per seed, at one time each; some show no thyroid.

    Parameters
    ----------
    count : scenes
    first_seed : of the first scene; the others follow it
    crossing_share : share of the scenes that are rendered when the plane crosses one of their nodules; the others are
        rendered at a random time, often without a nodule
    """
    samples = []
    for seed in range(first_seed, first_seed + count):
        rng = np.random.default_rng(seed)
        config = draw_training_scene(seed)
        scanner = PhantomScanner(config)
        if scanner.nodules and rng.random() < crossing_share:
            t_s = scanner.crossing_s(1 + int(rng.integers(len(scanner.nodules)))) + float(rng.normal(0.0, 0.15))
        else:
            t_s = float(rng.uniform(0.0, 10.0))
        scan = scanner.render_scan(t_s)
        image, nodule = np.asarray(scan.scan, np.uint8), (scan.labelmap > 0).astype(np.uint8)
        scale = min(1.0, _MAX_HW_PX[0] / image.shape[0], _MAX_HW_PX[1] / image.shape[1])
        if scale < 1.0:
            size_wh = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
            nodule = np.asarray(cv2.resize(nodule, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
        shows = config.shows_thyroid
        nothing = nothing_marked(image)
        samples.append(
            Sample(
                name=f"{seed}",
                image=image.copy(),
                nodule=nodule if shows else nothing,
                gland=nothing,
                look="phantom" if shows else "phantom_other",
                is_thyroid=shows,
            )
        )
    return samples
