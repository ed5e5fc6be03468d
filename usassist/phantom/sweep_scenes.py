"""Short sweeps for an evaluation: nodules of 5 mm or more that come, go, come back, and lie close to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from usassist.errors import UsageError
from usassist.phantom.config import NodulePlan, PhantomConfig
from usassist.phantom.neck import Neck
from usassist.phantom.planning import are_apart, draw_look
from usassist.phantom.scanner import PhantomScanner
from usassist.phantom.truth import PhantomFrame

__all__ = ["SWEEP_KINDS", "SweepScene", "draw_sweep_scenes", "render_sweep"]

SWEEP_KINDS = ("one", "several", "returns", "beside", "follows", "none")
"""``one`` nodule; ``several``, one after the other; one that leaves and ``returns``; two ``beside`` each other in one
plane; one that ``follows`` another at the same place of the image; ``none``."""

_RATE_HZ = 15.0
_SPEED_MM_S = 9.0
_PASS_MM, _RETURN_MM = 36.0, 24.0  # how far the plane moves: once, and out and back
_DEPTH_MARGIN_MM = 3.0
_OTHER_PLANE_MM = 2.5  # how far a nodule is moved at most from its elevation to find room
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepScene:
    """One sweep.

    Attributes
    ----------
    name : number and kind
    kind : one of :data:`SWEEP_KINDS`
    config : of the scanner
    frames : number of frames, at ``config.rate_hz``
    """

    name: str
    kind: str
    config: PhantomConfig
    frames: int


def draw_sweep_scenes(count: int, seed: int) -> list[SweepScene]:
    """Draw sweeps of all kinds in turn, each of another neck, scanner setting, depth and gain.

    The same `seed` gives the same sweeps, and more of them begin with the same.

    Parameters
    ----------
    count : number of sweeps, 1 to 999
    seed : of all of them, 0 to 999999

    Raises
    ------
    UsageError
        If one of them is out of range.
    """
    if not 1 <= count <= 999:
        raise UsageError(f"there can be 1 to 999 simulated sweeps, not {count}; choose another number")
    if not 0 <= seed <= 999_999:
        raise UsageError(f"the seed must lie in 0 to 999999, got {seed}; choose another")
    return [_draw_scene(index, seed) for index in range(count)]


def render_sweep(scene: SweepScene, frames: range | None = None) -> Iterator[PhantomFrame]:
    """The frames of a sweep in order, or only those with these numbers, from 0."""
    scanner = PhantomScanner(scene.config)
    for index in range(scene.frames) if frames is None else frames:
        yield scanner.render(index / scene.config.rate_hz)


def _draw_scene(index: int, seed: int) -> SweepScene:
    rng = np.random.default_rng([seed, index, 0x5EE])
    kind = SWEEP_KINDS[index % len(SWEEP_KINDS)]
    config = _draw_scanner(rng, int(rng.integers(1, 2**31)))
    nodules = _PLACES[kind](rng, config, Neck.draw(config))
    if kind == "returns":
        middle_mm = nodules[0].center_xze_mm[2]
        length_mm = max(_RETURN_MM, nodules[0].axes_xze_mm[2] + 8.0)
        passes = 2
    else:
        middle_mm, length_mm, passes = 0.0, _PASS_MM, 1
    config = replace(
        config,
        nodules=nodules,
        sweep_mm=(middle_mm - 0.5 * length_mm, middle_mm + 0.5 * length_mm),
        sweep_s=length_mm / _SPEED_MM_S,
    )
    frames = round(passes * config.sweep_s * config.rate_hz)
    return SweepScene(name=f"{index + 1:03d}_{kind}", kind=kind, config=config, frames=frames)


def _draw_scanner(rng: np.random.Generator, seed: int) -> PhantomConfig:
    depth_mm = float(rng.uniform(32.0, 50.0))
    return PhantomConfig(
        seed=seed,
        rate_hz=_RATE_HZ,
        view=str(rng.choice(["right_lobe", "left_lobe"])),  # type: ignore[arg-type]
        geometry=str(rng.choice(["linear", "trapezoid", "convex"], p=[0.6, 0.3, 0.1])),  # type: ignore[arg-type]
        depth_mm=depth_mm,
        frequency_mhz=float(rng.uniform(7.0, 13.0)),
        focus_mm=float(rng.uniform(0.3, 0.6) * depth_mm),
        gain_db=float(rng.uniform(-6.0, 6.0)),
        dynamic_range_db=float(rng.uniform(52.0, 68.0)),
        noise_db=float(rng.uniform(-56.0, -40.0)),
        looks=int(rng.integers(1, 4)),
        lateral_mm=float(rng.uniform(-3.0, 3.0)),
        layout=str(rng.choice(["wide", "left_panel"])),  # type: ignore[arg-type]
    )


def _one(rng: np.random.Generator, config: PhantomConfig, neck: Neck) -> tuple[NodulePlan, ...]:
    return _place(rng, config, neck, [(_draw_axes(rng, 5.5, 18.0), 0.0, 0.0, float(rng.uniform(-6.0, 6.0)))])


def _several(rng: np.random.Generator, config: PhantomConfig, neck: Neck) -> tuple[NodulePlan, ...]:
    places = []
    for e_mm in (-10.0, 0.0, 10.0):
        u_mm, z_mm = rng.uniform(-4.0, 4.0), rng.uniform(-2.0, 2.0)
        places.append((_draw_axes(rng, 5.5, 9.0), float(u_mm), float(z_mm), e_mm))
    return _place(rng, config, neck, places)


def _beside(rng: np.random.Generator, config: PhantomConfig, neck: Neck) -> tuple[NodulePlan, ...]:
    inner, outer = _draw_axes(rng, 5.5, 9.0), _draw_axes(rng, 5.5, 9.0)
    apart_mm = 0.5 * (inner[0] + outer[0]) + float(rng.uniform(1.5, 3.0))
    e_mm = float(rng.uniform(-3.0, 3.0))
    return _place(
        rng,
        config,
        neck,
        [(inner, -0.5 * apart_mm, 0.0, e_mm), (outer, 0.5 * apart_mm, 0.0, e_mm + float(rng.uniform(-2.0, 2.0)))],
    )


def _follows(rng: np.random.Generator, config: PhantomConfig, neck: Neck) -> tuple[NodulePlan, ...]:
    first, second = _draw_axes(rng, 6.5, 11.0), _draw_axes(rng, 6.5, 11.0)
    apart_mm = 0.5 * (first[2] + second[2]) + float(rng.uniform(2.5, 4.0))
    return _place(rng, config, neck, [(first, 0.0, 0.0, -0.5 * apart_mm), (second, 0.0, 0.0, 0.5 * apart_mm)])


def _none(rng: np.random.Generator, config: PhantomConfig, neck: Neck) -> tuple[NodulePlan, ...]:
    return ()


_PLACES: dict[str, Callable[[np.random.Generator, PhantomConfig, Neck], tuple[NodulePlan, ...]]] = {
    "one": _one,
    "several": _several,
    "returns": _one,
    "beside": _beside,
    "follows": _follows,
    "none": _none,
}

_Axes = tuple[float, float, float]


def _draw_axes(rng: np.random.Generator, least_mm: float, most_mm: float) -> _Axes:
    """Diameters of a nodule, mm, small ones more often; the widest is at least `least_mm`."""
    width = float(np.exp(rng.uniform(np.log(least_mm), np.log(most_mm))))
    return width, width * float(rng.uniform(0.65, 0.95)), width * float(rng.uniform(0.9, 1.3))


def _place(
    rng: np.random.Generator, config: PhantomConfig, neck: Neck, places: list[tuple[_Axes, float, float, float]]
) -> tuple[NodulePlan, ...]:
    """Nodules of these diameters at u and z from the middle of the lobe and at an elevation.

    They are moved outwards, up or down until they neither touch each other nor the trachea.
    """
    plans: list[NodulePlan] = []
    for axes, u_mm, z_mm, e_mm in places:
        deepest = config.depth_mm - 0.5 * axes[1] - _DEPTH_MARGIN_MM
        for attempt in range(_ATTEMPTS):
            wide = 0.04 * attempt
            z = min(neck.lobe_z + z_mm + float(rng.uniform(-wide, wide)), deepest)
            e = e_mm + float(rng.uniform(-1.0, 1.0)) * min(wide, _OTHER_PLANE_MM)
            u = neck.lobe_u + u_mm + float(rng.uniform(0.0, wide))
            u = max(u, neck.trachea_reach_mm(z, 0.5 * axes[1]) + 0.5 * axes[0] + 0.3)
            x, e = neck.to_probe(config.view, u, e)
            plan = draw_look(rng, (x, z, e), axes)
            if all(are_apart(plan, other) for other in plans):
                plans.append(plan)
                break
        else:
            raise RuntimeError(f"no room for a nodule of {axes} mm in {config}")
    return tuple(plans)
