"""The data sets of the teacher of outlines: which are trained on, which check it, which it outlines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.training.data.appearance import Appearance
from usassist.training.data.cache import load_cached
from usassist.training.data.simulated import load_phantom
from usassist.training.data.terms import describe_terms, load_terms, require_terms
from usassist.training.data.thyroid import load_nodule
from usassist.training.network.encoder import START_WEIGHTS
from usassist.training.recipe import AugmentConfig
from usassist.training.teacher.batches import BoxBatchMaker
from usassist.training.teacher.nodules import BoxedNodule, load_boxed_nodules, load_masked, split_nodules
from usassist.training.teacher.train import TeacherConfig

__all__ = ["AUGMENT", "TeacherData", "fingerprint", "make_batch_maker", "prepare"]

AUGMENT = AugmentConfig(
    histogram_p=0.5, spectrum_p=0.2, equalise_p=0.1, speckle_swap_p=0.1, marks_p=0.4, shadow_p=0.2, gamma_sd=0.2
)
"""Ranges of the changes of appearance."""

_SETS = ("thyroid_ddti", "breast_busi", "thyroid_tn5000", "thyroid_tn3k9")
_CHECK_ALONE = "thyroid_tn3k9"
_ENCODER = START_WEIGHTS["mobilenet_v2"]
_PHANTOM_SEED = 50_000
_PHANTOM_CROSSING_SHARE = 1.0
_DONOR_STRIDE = 8  # every 8th TN5000 frame is a donor of histogram and low frequencies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TeacherData:
    """The nodules of a run.

    Attributes
    ----------
    train : of each set that is trained on
    checked : with masks, not trained on
    boxed : of each part of TN5000, boxes only; ``train`` takes part in training with its boxes
    terms : under which the sets are used, for the manifest
    """

    train: Mapping[str, Sequence[BoxedNodule]]
    checked: Mapping[str, Sequence[BoxedNodule]]
    boxed: Mapping[str, Sequence[BoxedNodule]]
    terms: Sequence[Mapping[str, object]] = ()


def prepare(config: TeacherConfig, cache_dir: Path) -> TeacherData:
    """Read and simulate all frames.

    Raises
    ------
    ConfigError
        When the data folder is not set, a data set is missing from it, has no terms stated, or is not for a teacher,
        or a frame, mask or box is not usable.
    """
    root = data_dir()
    for name in (*_SETS, _ENCODER):
        if not (root / name).is_dir():
            raise ConfigError(f"the data set {name} is missing from the folder in USASSIST_DATA; fetch it")
    terms = load_terms()
    used = require_terms({*_SETS, "phantom", _ENCODER} - {_CHECK_ALONE}, "teacher", terms)
    used += require_terms([_CHECK_ALONE], "validation", terms)
    ddti, busi, boxed, tn3k = (root / name for name in _SETS)
    count = config.phantom_frames
    phantom = load_cached(
        cache_dir,
        f"teacher-phantom-{_PHANTOM_SEED}-{count}",
        lambda: load_phantom(count, _PHANTOM_SEED, _PHANTOM_CROSSING_SHARE),
    )
    return TeacherData(
        train={
            "ddti": split_nodules(load_cached(cache_dir, "teacher-ddti-train", lambda: load_nodule(ddti, "train"))),
            "busi": split_nodules(load_masked(busi, ("benign", "malignant"))),
            "phantom": split_nodules(phantom),
        },
        checked={
            "ddti_val": split_nodules(load_cached(cache_dir, "ddti-val", lambda: load_nodule(ddti, "val"))),
            "tn3k9": split_nodules(load_masked(tn3k)),
        },
        boxed={part: load_boxed_nodules(boxed, part) for part in ("train", "val")},
        terms=describe_terms(used),
    )


def make_batch_maker(config: TeacherConfig, data: TeacherData) -> BoxBatchMaker:
    """Batches of all sets that are trained on, with TN5000 as donor of appearance."""
    donors = [nodule.image for nodule in data.boxed["train"][::_DONOR_STRIDE]]
    appearance = Appearance.from_donors(AUGMENT, donors)
    groups = (
        (data.train["ddti"], config.ddti),
        (data.train["busi"], config.busi),
        (data.train["phantom"], config.phantom),
        (data.boxed["train"], config.boxed),
    )
    return BoxBatchMaker(groups, appearance, config.size_px, config.seed)


def fingerprint(nodules: Sequence[BoxedNodule]) -> dict[str, Any]:
    """SHA-256 over names, pixels, boxes and masks, in order."""
    digest = hashlib.sha256()
    for nodule in nodules:
        digest.update(f"{nodule.name} {nodule.image.shape}".encode())
        for array in (nodule.image, nodule.box_xyxy_px, *(() if nodule.mask is None else (nodule.mask,))):
            digest.update(np.ascontiguousarray(array).tobytes())
    return {"nodules": len(nodules), "sha256": digest.hexdigest()}
