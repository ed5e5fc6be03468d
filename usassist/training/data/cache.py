"""A cache of the frames of a set, decoded, cropped and cleaned, or simulated once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.private_files import replacing
from usassist.training.data.sample import Sample, nothing_marked

__all__ = ["load_cached"]

UInt8Array = npt.NDArray[np.uint8]

_SCHEMA = 5
_FACTS = ("name", "look", "outline_known", "all_marked", "is_thyroid")


def load_cached(cache_dir: Path, key: str, make: Callable[[], list[Sample]]) -> list[Sample]:
    """Load the samples cached under ``key``, or make and cache them. ``key`` must encode all that they depend on."""
    path = cache_dir / f"{key}-{_SCHEMA}.npz"
    if path.is_file():
        with np.load(path) as arrays:
            facts = json.loads(str(arrays["facts"]))
            return [
                Sample(
                    image=arrays[f"i{place}"],
                    nodule=_plane(arrays, "n", place),
                    gland=_plane(arrays, "g", place),
                    cleaned=arrays.get(f"c{place}"),
                    **fact,
                )
                for place, fact in enumerate(facts)
            ]
    samples = make()
    cache_dir.mkdir(parents=True, exist_ok=True)
    planes: dict[str, npt.NDArray[Any]] = {}
    for place, sample in enumerate(samples):
        planes[f"i{place}"] = sample.image
        others = {"n": sample.nodule, "g": sample.gland, "c": sample.cleaned}
        planes |= {f"{letter}{place}": plane for letter, plane in others.items() if plane is not None and plane.any()}
    facts = [{name: getattr(sample, name) for name in _FACTS} for sample in samples]
    with replacing(path) as fresh:
        np.savez(fresh, facts=np.array(json.dumps(facts)), **planes)  # type: ignore[arg-type]
    return samples


def _plane(arrays: Mapping[str, npt.NDArray[Any]], letter: str, place: int) -> UInt8Array:
    """A plane of the cache; one that is not there has no marks, and takes no memory."""
    name = f"{letter}{place}"
    return arrays[name] if name in arrays else nothing_marked(arrays[f"i{place}"])
