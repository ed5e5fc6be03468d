"""Renders the simulated clips and the picture of the demo page; the same seeds give the same pixels.

python -m tools.demo_clips [NAME ...]      # all of them, or clip, convex, no_nodule, still
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

from usassist.phantom import PhantomConfig, PhantomScanner, render_clip
from usassist.phantom.config import NodulePlan

__all__ = ["main"]

FOLDER = Path(__file__).parents[1] / "demo"

_SOLID = NodulePlan(
    kind="hypo",
    center_xze_mm=(2.0, 19.0, 2.0),
    axes_xze_mm=(17.0, 12.0, 15.0),
    tilt_deg=-6.0,
    lobulation=0.03,
    echo_db=-8.0,
    micro_calcifications=8,
)
_CYST = NodulePlan(
    kind="cystic", center_xze_mm=(1.0, 17.0, 0.0), axes_xze_mm=(13.0, 9.5, 13.0), tilt_deg=8.0, margin_mm=0.18
)

# name → seconds and scanner
CLIPS: dict[str, tuple[float, PhantomConfig]] = {
    "clip": (10.0, PhantomConfig.demo()),
    "convex": (
        5.0,
        PhantomConfig(
            seed=52,
            geometry="convex",
            view="left_lobe",
            depth_mm=50.0,
            width_mm=48.0,
            frequency_mhz=7.5,
            screen_hw_px=(600, 800),
            layout="compact",
            sweep_mm=(-16.0, 18.0),
            sweep_s=5.0,
            rate_hz=25.0,
            nodules=(_SOLID,),
        ),
    ),
    "no_nodule": (
        4.0,
        PhantomConfig(
            seed=77,
            screen_hw_px=(480, 640),
            layout="bare",
            sweep_s=4.0,
            rate_hz=25.0,
            nodules=(),
            ruler_figures=False,
        ),
    ),
}
STILL = PhantomConfig(seed=64, view="left_lobe", depth_mm=40.0, nodules=(_CYST,), screen_hw_px=(600, 800))


def main(names: list[str]) -> int:
    """Render those of these names, or all."""
    for name in names or [*CLIPS, "still"]:
        if name == "still":
            screen = PhantomScanner(STILL).render(STILL.sweep_s / 2).screen
            cv2.imwrite(str(FOLDER / "still.png"), cv2.cvtColor(screen, cv2.COLOR_RGB2BGR))
        else:
            seconds, config = CLIPS[name]
            render_clip(FOLDER / f"{name}.mkv", seconds=seconds, config=config)
        sys.stdout.write(f"{name} rendered\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
