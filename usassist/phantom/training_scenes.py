"""Random scenes for training that fill the gaps of :meth:`PhantomConfig.random`.

Its nodules follow the shape prior and lie inside the image. Here are also nodules that fill most of a lobe, nodules cut
by the border of the image, large cysts and spongiform nodules, calcifications with their shadow, necks without a
thyroid gland, the side of the neck, and blocks of even speckle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from usassist.phantom.beam import BeamGrid
from usassist.phantom.config import NodulePlan, PhantomConfig, rng_of
from usassist.phantom.neck import Neck

__all__ = ["SCENES", "draw_training_scene", "scene_of"]

SCENES: dict[str, float] = {
    "usual": 0.38,
    "large": 0.17,
    "cut": 0.13,
    "fluid": 0.12,
    "calcified": 0.06,
    "no_gland": 0.08,
    "side_of_neck": 0.03,
    "block": 0.03,
}
"""The kinds of scenes and their shares."""

_GEOMETRIES = ("linear", "trapezoid", "convex")
_GEOMETRY_P = (0.50, 0.32, 0.18)
_VIEWS = ("right_lobe", "left_lobe", "longitudinal")
_SHALLOWEST_MM, _DEEPEST_MM = 16.0, 55.0


def scene_of(seed: int) -> str:
    """The kind of scene of a seed, a key of :data:`SCENES`."""
    shares = np.array(list(SCENES.values()))
    return str(rng_of(seed, 0x7E4).choice(list(SCENES), p=shares / shares.sum()))


def draw_training_scene(seed: int, *, scan_hw_px: tuple[int, int] | None = None) -> PhantomConfig:
    """Draw a scene, scanner settings and screen for training.

    A nodule of the scene is one of the thyroid only if the config says :attr:`PhantomConfig.shows_thyroid`.

    Parameters
    ----------
    seed : of all random draws
    scan_hw_px : the box that the scan image is fitted into; None = the free area of the random layout
    """
    rng = rng_of(seed, 0x7E5)
    config = replace(
        PhantomConfig.random(seed, scan_hw_px=scan_hw_px),
        geometry=str(rng.choice(_GEOMETRIES, p=_GEOMETRY_P)),  # type: ignore[arg-type]
    )
    change = _CHANGES.get(scene_of(seed))
    return change(config, rng) if change else config


def _large(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    config = _lobe_view(config, rng)
    kind = str(rng.choice(["hypo", "iso", "hyper", "mixed", "spongiform", "cystic"], p=[0.3, 0.2, 0.1, 0.2, 0.1, 0.1]))
    return _with_nodule(config, _plan(config, rng, kind, width_mm=rng.uniform(16.0, 34.0), ratio=rng.uniform(0.5, 0.9)))


def _cut(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    """A nodule whose middle lies within half a diameter of a lateral border or of the lower one."""
    config = _lobe_view(config, rng)
    kind = str(rng.choice(["hypo", "iso", "mixed", "cystic"], p=[0.4, 0.25, 0.2, 0.15]))
    plan = _plan(config, rng, kind, width_mm=rng.uniform(8.0, 28.0), ratio=rng.uniform(0.55, 1.0))
    x_mm, z_mm, e_mm = plan.center_xze_mm
    if rng.random() < 0.25:
        depth_mm = max(z_mm - rng.uniform(-0.2, 0.35) * plan.axes_xze_mm[1], _SHALLOWEST_MM)
        return replace(config, nodules=(plan,), depth_mm=float(depth_mm))
    left_mm, _, right_mm, _ = BeamGrid(config, (96, 144)).extent_xzxz_mm
    side_mm = right_mm if rng.random() < 0.5 else left_mm
    if config.geometry != "linear":  # beams spread, and the image is narrower at the depth of a nodule
        side_mm *= 0.85
    there_mm = side_mm + float(rng.uniform(-0.35, 0.2) * plan.axes_xze_mm[0] * np.sign(side_mm))
    if config.view != "longitudinal":  # the probe is moved, so that the nodule stays in the gland
        lateral_mm = there_mm - x_mm if config.view == "right_lobe" else x_mm - there_mm
        config = replace(config, lateral_mm=lateral_mm)
    return _with_nodule(config, replace(plan, center_xze_mm=(there_mm, z_mm, e_mm)))


def _fluid(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    """A cyst, or a partly cystic or spongiform nodule, with the enhancement behind it."""
    config = _lobe_view(config, rng)
    kind = str(rng.choice(["cystic", "mixed", "spongiform"], p=[0.45, 0.3, 0.25]))
    return _with_nodule(config, _plan(config, rng, kind, width_mm=rng.uniform(5.0, 24.0), ratio=rng.uniform(0.5, 1.0)))


def _calcified(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    config = _lobe_view(config, rng)
    kind = str(rng.choice(["hypo", "iso"], p=[0.7, 0.3]))
    plan = _plan(config, rng, kind, width_mm=rng.uniform(6.0, 20.0), ratio=rng.uniform(0.7, 1.2))
    size_mm = float(rng.uniform(0.25, 0.8) * min(plan.axes_xze_mm))
    return _with_nodule(
        config, replace(plan, macro_calcification_mm=size_mm, micro_calcifications=int(rng.integers(0, 12)))
    )


def _no_gland(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    return replace(config, gland=False, nodules=(), lateral_mm=float(rng.uniform(-4.0, 25.0)))


def _side_of_neck(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    """Muscle and vessels beside the thyroid gland, which is out of the image."""
    config = replace(_lobe_view(config, rng), gland=False, nodules=(), width_mm=float(rng.uniform(30.0, 40.0)))
    return replace(config, lateral_mm=float(rng.uniform(18.0, 35.0)))


def _block(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    """Even speckle, without targets or with a row of them."""
    targets = []
    for index in range(int(rng.integers(0, 5))):
        size_mm = float(rng.uniform(2.0, 9.0))
        center_xze_mm = (-14.0 + 9.0 * index, float(rng.uniform(0.3, 0.8) * config.depth_mm), 0.0)
        targets.append(
            NodulePlan(
                kind=str(rng.choice(["cystic", "hypo", "hyper"])),  # type: ignore[arg-type]
                center_xze_mm=center_xze_mm,
                axes_xze_mm=(size_mm, size_mm, 60.0),
                margin_mm=0.15,
            )
        )
    return replace(config, tissue="uniform", nodules=tuple(targets))


def _lobe_view(config: PhantomConfig, rng: np.random.Generator) -> PhantomConfig:
    if config.view != "midline":
        return config
    return replace(config, view=str(rng.choice(_VIEWS)), width_mm=float(rng.uniform(34.0, 50.0)))  # type: ignore[arg-type]


def _plan(config: PhantomConfig, rng: np.random.Generator, kind: str, *, width_mm: float, ratio: float) -> NodulePlan:
    """A nodule in the lobe, beside the trachea and below the strap muscles, as wide as asked."""
    neck = Neck.draw(config)
    height_mm = min(width_mm * ratio, 24.0)
    length_mm = width_mm * rng.uniform(0.8, 1.3)
    z_mm = neck.fat + 0.8 * neck.strap + 0.5 * height_mm + rng.uniform(0.3, 2.0)
    across_mm = width_mm if config.view != "longitudinal" else length_mm
    u_mm = max(neck.lobe_u + rng.uniform(-2.0, 2.0), neck.trachea_radius + 0.42 * across_mm)
    x_mm, e_mm = neck.to_probe(config.view, u_mm, float(rng.uniform(-8.0, 8.0)))
    solid = kind in ("hypo", "iso", "hyper", "mixed")
    echo_db = None
    if kind == "iso":
        echo_db = float(rng.choice([-1.0, 1.0]) * rng.uniform(1.2, 3.0))
    elif kind == "mixed":
        echo_db = float(-rng.uniform(2.5, 7.0))
    elif kind == "hypo":
        echo_db = float(-rng.uniform(4.0, 13.0))
    return NodulePlan(
        kind=kind,  # type: ignore[arg-type]
        center_xze_mm=(x_mm, float(z_mm), e_mm),
        axes_xze_mm=(float(width_mm), float(height_mm), float(length_mm)),
        tilt_deg=float(rng.normal(0.0, 10.0)),
        lobulation=float(rng.uniform(0.0, 0.07)),
        margin_mm=float(rng.choice([0.2, 0.4, 0.9, 1.6])) if kind != "cystic" else 0.18,
        echo_db=echo_db,
        halo=bool(kind in ("iso", "hyper", "mixed") and rng.random() < 0.8),
        micro_calcifications=int(rng.integers(3, 25)) if solid and rng.random() < 0.3 else 0,
        macro_calcification_mm=float(rng.uniform(2.0, 6.0)) if solid and rng.random() < 0.1 else 0.0,
    )


def _with_nodule(config: PhantomConfig, plan: NodulePlan) -> PhantomConfig:
    """The nodule in an image that is deep enough to show most of it."""
    deep_mm = plan.center_xze_mm[1] + 0.3 * plan.axes_xze_mm[1]
    return replace(config, nodules=(plan,), depth_mm=min(max(config.depth_mm, deep_mm), _DEEPEST_MM))


_CHANGES: dict[str, Callable[[PhantomConfig, np.random.Generator], PhantomConfig]] = {
    "large": _large,
    "cut": _cut,
    "fluid": _fluid,
    "calcified": _calcified,
    "no_gland": _no_gland,
    "side_of_neck": _side_of_neck,
    "block": _block,
}
