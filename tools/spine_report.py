"""How well vertebral levels are found: simulated spines, and windows of one real volume. Prints tables in Markdown.

Run it in the repository: ``python -m tools.spine_report [--spines 40] [--data FOLDER]``. ``FOLDER`` is that of the data
sets (default: ``USASSIST_DATA``); without ``ct_body_totalsegmentator`` in it only the simulated part is printed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usassist.config import data_dir
from usassist.errors import UsAssistError
from usassist.modalities.ct.spine import SpineLevels, find_levels
from usassist.phantom.ct.spine import Spine, draw_spine_plan
from usassist.phantom.ct.torso import draw_torso_plan, make_torso
from usassist.sources.volumes import read_labelmap, read_volume
from usassist.volumes import Volume

_LABELS = {"S1": 26, "L5": 27, "L4": 28, "L3": 29, "L2": 30, "L1": 31, "T12": 32}
_PITCH_MM = 33.0
_NEAR_MM = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one volume: ``right``, ``off by one``, ``off by more`` or ``not named``, and the confidence."""

    what: str
    confidence: float
    reason: str
    error_mm: float


def judge(levels: SpineLevels, truth_z_mm: dict[str, float]) -> Outcome:
    """Compare every named vertebra that is whole with the true z of that name."""
    if not levels.is_named:
        return Outcome("not named", levels.confidence, levels.reason, math.nan)
    errors = [
        item.centre_lps_mm[2] - truth_z_mm[item.name]
        for item in levels.vertebrae
        if item.is_whole and item.name in truth_z_mm
    ]
    if not errors:
        return Outcome("not named", levels.confidence, "no named vertebra is whole", math.nan)
    error = max(errors, key=abs)
    off = "right" if abs(error) < _NEAR_MM else "off by one" if abs(error) < 1.6 * _PITCH_MM else "off by more"
    return Outcome(off, levels.confidence, levels.reason, abs(error))


def simulated(count: int, first: int) -> Iterator[tuple[str, Outcome]]:
    """Spines of random build, in a volume of random spacing and field of view."""
    for seed in range(first, first + count):
        rng = np.random.default_rng([seed, 0x5E])
        length = float(rng.uniform(130, 400))
        low = float(rng.uniform(-100, max(300 - length, -99)))
        thick, pixel = float(rng.choice([1.5, 2.0, 3.0, 4.0, 5.0])), float(rng.uniform(1.2, 2.5))
        hu, affine, vertebrae = make_torso(
            seed, Spine(draw_spine_plan(seed)), draw_torso_plan(seed), z_range_mm=(low, low + length),
            spacing_zyx_mm=(thick, pixel, pixel),
        )  # fmt: skip
        levels = find_levels(_volume(hu, affine))
        outcome = judge(levels, {item.name: item.centre_mm[2] for item in vertebrae})
        yield f"{seed}: {low:.0f} to {low + length:.0f} mm, slices {thick} mm", outcome


def real(folder: Path) -> Iterator[tuple[str, str, Outcome]]:
    """One real volume: whole, cut to windows, on other grids, with noise."""
    volume = read_volume(folder / "example_ct.nii.gz", session_id="report").volume
    labels, _ = read_labelmap(folder / "spine_report/example_ct_report/totalseg.nii.gz")
    to_z = volume.affine_ijk_to_lps_mm[2]
    truth = {name: to_z[2] * float(np.nonzero(labels == value)[0].mean()) + to_z[3] for name, value in _LABELS.items()}
    hu, affine = np.asarray(volume.voxels), volume.affine_ijk_to_lps_mm
    step = volume.spacing_zyx_mm[0]
    yield "whole", "", judge(find_levels(volume), truth)
    for length in (100, 150, 200, 250):
        planes = round(length / step)
        for low in range(0, len(hu) - planes + 1, 5):
            moved = affine.copy()
            moved[2, 3] += low * step
            outcome = judge(find_levels(_volume(hu[low : low + planes], moved)), truth)
            yield f"window of {length} mm", f"from plane {low}", outcome
    for mm in (1.5, 5.0):
        yield f"slices of {mm} mm", "", judge(find_levels(_resampled(hu, affine, mm)), truth)
    for sd in (20, 50, 80):
        noisy = hu + np.random.default_rng(sd).normal(0, sd, hu.shape)
        yield f"noise of {sd} HU", "", judge(find_levels(_volume(noisy.astype(np.int16), affine)), truth)
    short = read_volume(folder / "example_ct_sm.nii.gz", session_id="report").volume
    short_affine = short.affine_ijk_to_lps_mm
    shift = short_affine[2, 3] - (affine[2, 3] + 82 * step)  # its first plane is plane 82 of the other
    yield "30 planes on their own", "", judge(find_levels(short), {name: z + shift for name, z in truth.items()})


def _resampled(hu: np.ndarray, affine: np.ndarray, mm: float) -> Volume:
    step = float(affine[2, 2])
    at = np.arange(0, (len(hu) - 1) * step, mm) / step
    low = np.minimum(at.astype(int), len(hu) - 2)
    share = (at - low)[:, None, None]
    if mm > step:  # a thick slice holds what lies beside it
        hu = (
            hu[np.maximum(np.arange(len(hu)) - 1, 0)] + 2.0 * hu + hu[np.minimum(np.arange(len(hu)) + 1, len(hu) - 1)]
        ) / 4
    planes = (1 - share) * hu[low] + share * hu[low + 1]
    scaled = affine.copy()
    scaled[:3, 2] *= mm / step
    return _volume(planes.astype(np.int16), scaled)


def _volume(hu: np.ndarray, affine: np.ndarray) -> Volume:
    return Volume(
        session_id="report", source_id="ct0", series_id="report", modality="CT", voxels=np.ascontiguousarray(hu),
        affine_ijk_to_lps_mm=affine, unit="HU",
    )  # fmt: skip


def _interval(part: int, whole: int) -> str:
    """Wilson's interval, 95 %."""
    if not whole:
        return "–"
    p, z = part / whole, 1.96
    middle, half = p + z * z / (2 * whole), z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))
    low, high = (max((middle + sign * half) / (1 + z * z / whole), 0.0) for sign in (-1, 1))
    return f"{part}/{whole} ({100 * low:.0f}–{100 * high:.0f} %)"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_KINDS = ("right", "off by one", "off by more", "not named")


def _table(rows: dict[str, list[Outcome]]) -> None:
    _say(f"| what | {' | '.join(_KINDS)} | right of those named |\n|---|" + "---|" * 5)
    for name, outcomes in rows.items():
        counts = [sum(item.what == kind for item in outcomes) for kind in _KINDS]
        _say(f"| {name} | {' | '.join(map(str, counts))} | {_interval(counts[0], sum(counts[:3]))} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--spines", type=int, default=40)
    parser.add_argument("--first", type=int, default=100, help="first seed")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cases", action="store_true", help="one line per volume too")
    given = parser.parse_args()
    outcomes = []
    for case, outcome in simulated(given.spines, given.first):
        outcomes.append(outcome)
        if given.cases or outcome.what.startswith("off"):
            _say(f"- {case}: {outcome.what}, {outcome.confidence:.2f}, {outcome.error_mm:.0f} mm; {outcome.reason}")
    _say("")
    _table({f"{len(outcomes)} simulated spines": outcomes})
    _say("\n| confidence | right of those named |\n|---|---|")
    for low, high in ((0.0, 0.8), (0.8, 0.95), (0.95, 0.98), (0.98, 1.01)):
        part = [item for item in outcomes if item.what != "not named" and low <= item.confidence < high]
        _say(
            f"| {low:.2f} to {min(high, 1):.2f} | {_interval(sum(item.what == 'right' for item in part), len(part))} |"
        )
    _say("")
    try:
        folder = (given.data or data_dir()) / "ct_body_totalsegmentator"
    except UsAssistError as error:
        _say(f"no real volume: {error}")
        return
    if not folder.is_dir():
        _say(f"no real volume: {folder} is missing")
        return
    rows: dict[str, list[Outcome]] = {}
    for name, case, outcome in real(folder):
        rows.setdefault(name, []).append(outcome)
        if given.cases or outcome.what.startswith("off"):
            _say(f"- {name} {case}: {outcome.what}, {outcome.confidence:.2f}; {outcome.reason}")
    _say("")
    _table(rows)


if __name__ == "__main__":
    main()
