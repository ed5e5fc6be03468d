"""The training frames, cropped to the scan area as in the live path.

The data is read in place from the folder :func:`usassist.config.data_dir`. Frames are decoded and cropped once; a cache
folder keeps the result between runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.private_files import replacing
from usassist.errors import ConfigError, ScanAreaError
from usassist.frames import find_scan_area
from usassist.training.marks import remove_marks

__all__ = [
    "DUPLICATE_GROUPS",
    "Sample",
    "compute_fingerprint",
    "crop",
    "crop_and_clean",
    "cumulative_histogram",
    "list_nodule_frames",
    "load_cached",
    "load_gland",
    "load_nodule",
    "load_phantom",
    "nothing_marked",
    "read_pair",
]

logger = logging.getLogger(__name__)

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

DUPLICATE_GROUPS: tuple[frozenset[str], ...] = (
    frozenset({"349_1", "150_1", "233_2", "326_1", "323_1"}),
    frozenset({"353_2", "396_1"}),
    frozenset({"1_1", "1_2"}),
    frozenset({"213_1", "213_2"}),
    frozenset({"230_1", "230_2"}),
    frozenset({"92_3", "92_4"}),
)
"""DDTI frames with identical pixels, some of them listed under different cases."""

_CACHE_SCHEMA = 5
_FACTS = ("name", "look", "outline_known", "all_marked", "is_thyroid")
_PHANTOM_MAX_HW_PX = (400, 600)  # larger images are reduced once, because the later warp does not average
_MIN_SIDE_PX = 96  # a smaller crop is taken for an error, and the whole frame is used


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One cropped frame with its labels.

    Attributes
    ----------
    name : within its data set
    image : uint8 (H, W), grey
    nodule : uint8 (H, W), 1 = nodule
    gland : uint8 (H, W), 1 = thyroid gland; all 0 if unknown
    look : which scanner or set it looks like; frames are drawn evenly over the looks of a kind
    outline_known : False: of each nodule only the box is known, and `nodule` holds the ellipse that touches its sides
    all_marked : False: nodules may be visible that are not marked
    is_thyroid : False: it shows something else, and what is marked is no thyroid nodule
    cleaned : uint8 (H, W), `image` with its calipers painted out; None = it has none
    """

    name: str
    image: UInt8Array
    nodule: UInt8Array
    gland: UInt8Array
    look: str = ""
    outline_known: bool = True
    all_marked: bool = True
    is_thyroid: bool = True
    cleaned: UInt8Array | None = None


def list_nodule_frames(folder: Path, part: str) -> list[str]:
    """Names of the DDTI frames of a part, without leaks from ``val`` into ``train``.

    From ``train``, every case is excluded that shares an image with a case of ``val``; of images that occur more than
    once in ``train``, one is kept. ``val`` is unchanged.

    Parameters
    ----------
    folder : the data set, with ``train.txt`` and ``val.txt``
    part : ``train`` or ``val``
    """
    lists = {key: (folder / f"{key}.txt").read_text(encoding="utf-8").split() for key in ("train", "val")}
    if part == "val":
        return lists["val"]
    held_out = set(lists["val"])
    leaking = {_case(name) for group in DUPLICATE_GROUPS if group & held_out for name in group}
    leaking |= {_case(name) for name in held_out}
    names: list[str] = []
    for name in lists["train"]:
        twins = next((group for group in DUPLICATE_GROUPS if name in group), frozenset())
        if _case(name) not in leaking and not twins & set(names):
            names.append(name)
    return names


def load_nodule(folder: Path, part: str, left_out: Collection[str] = ()) -> list[Sample]:
    """DDTI frames of a part with their nodule masks, cropped to the scan area, without those that are left out."""
    samples = []
    for name in list_nodule_frames(folder, part):
        if name in left_out:
            continue
        image, mask = read_pair(folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png")
        if mask.any():
            samples.append(crop_and_clean(Sample(name=name, image=image, nodule=mask, gland=nothing_marked(mask))))
    return samples


def load_gland(folder: Path, last_number: int, left_out: Collection[str] = ()) -> list[Sample]:
    """TG3K frames (part ``train``) with their gland masks, without marked nodules.

    Parameters
    ----------
    folder : the data set
    last_number : frames with a higher file number are excluded
    left_out : names of frames that are excluded
    """
    samples = []
    for path in sorted((folder / "train" / "images").glob("*.jpg")):
        if int(path.stem) <= last_number and path.stem not in left_out:
            image, mask = read_pair(path, folder / "train" / "masks" / path.name)
            mask = _largest_component(mask)  # burnt-in text is foreground in these masks
            samples.append(crop(Sample(name=path.stem, image=image, nodule=nothing_marked(mask), gland=mask)))
    return samples


def load_phantom(count: int, first_seed: int, crossing_share: float) -> list[Sample]:
    """Simulated frames with exact masks: one scene per seed, at one time each; some show no thyroid.

    Parameters
    ----------
    count : scenes
    first_seed : of the first scene; the others follow it
    crossing_share : share of the scenes that are rendered when the plane crosses one of their nodules; the others are
        rendered at a random time, often without a nodule
    """
    from usassist.phantom import PhantomScanner, draw_training_scene

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
        scale = min(1.0, _PHANTOM_MAX_HW_PX[0] / image.shape[0], _PHANTOM_MAX_HW_PX[1] / image.shape[1])
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


def cumulative_histogram(image: UInt8Array) -> Float32Array:
    """Cumulative histogram of the pixels that are not black: float32 (256,)."""
    count = np.bincount(image.ravel(), minlength=256).astype(np.float64)
    count[0] = 0.0
    return np.asarray(np.cumsum(count) / max(1.0, count.sum()), np.float32)


def load_cached(cache_dir: Path, key: str, make: Callable[[], list[Sample]]) -> list[Sample]:
    """Load the samples cached under ``key``, or make and cache them. ``key`` must encode all that they depend on."""
    path = cache_dir / f"{key}-{_CACHE_SCHEMA}.npz"
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


def nothing_marked(image: UInt8Array) -> UInt8Array:
    """A read-only plane of zeros of an image's size, which takes no memory."""
    return np.broadcast_to(np.uint8(0), image.shape)


def compute_fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over names, sizes, pixels and masks, in order."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.name} {sample.image.shape}".encode())
        for array in (sample.image, sample.nodule, sample.gland):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def crop(sample: Sample) -> Sample:
    """The same frame, cropped to its scan area; whole where none is found."""
    image = sample.image
    try:
        x1, y1, x2, y2 = find_scan_area([image]).xyxy_px
    except ScanAreaError as error:
        logger.warning("frame %s is used without cropping: %s", sample.name, error)
        x1, y1, x2, y2 = 0, 0, image.shape[1], image.shape[0]
    if min(x2 - x1, y2 - y1) < _MIN_SIDE_PX:
        x1, y1, x2, y2 = 0, 0, image.shape[1], image.shape[0]
    area = np.s_[y1:y2, x1:x2]
    planes = {name: getattr(sample, name)[area].copy() for name in ("image", "nodule", "gland")}
    return dataclasses.replace(sample, **planes)


def crop_and_clean(sample: Sample) -> Sample:
    """The same frame, cropped to its scan area, and besides with its calipers painted out."""
    cropped = crop(sample)
    cleaned = remove_marks(cropped.image)
    return cropped if np.array_equal(cleaned, cropped.image) else dataclasses.replace(cropped, cleaned=cleaned)


def read_pair(image_path: Path, mask_path: Path) -> tuple[UInt8Array, UInt8Array]:
    """Read an image, grey, and its mask, 1 = marked; both uint8 (H, W)."""
    image = cv2.imread(str(image_path), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    if image is None or mask is None or image.shape != mask.shape:
        raise ConfigError(f"{image_path} and its mask cannot be read or differ in size; fetch the data set again")
    return np.asarray(image, np.uint8), (mask > 127).astype(np.uint8)


def _largest_component(mask: UInt8Array) -> UInt8Array:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.uint8)


def _case(name: str) -> str:
    return name.split("_")[0]
