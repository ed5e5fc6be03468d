"""A training run: from a recipe to a trained ONNX with its manifest."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.frames import letterbox
from usassist.training.checkpoint import MANIFEST, Progress, describe_run, write_manifest
from usassist.training.data.appearance import Appearance
from usassist.training.data.augment import Augmenter
from usassist.training.data.batches import TrainFrames
from usassist.training.data.boxed import OUTLINES_LIST, load_boxed
from usassist.training.data.cache import load_cached
from usassist.training.data.corrections import CORRECTIONS, load_corrections
from usassist.training.data.duplicates import list_leaks
from usassist.training.data.other_anatomy import is_held_out_breast, load_breast, load_clip_frames, load_pictures
from usassist.training.data.sample import Sample, compute_fingerprint
from usassist.training.data.simulated import load_phantom
from usassist.training.data.terms import describe_terms, load_terms, require_terms
from usassist.training.data.thyroid import load_gland, load_nodule
from usassist.training.export import export_onnx
from usassist.training.network.encoder import START_WEIGHTS, find_weights
from usassist.training.recipe import Recipe
from usassist.training.train import TrainData, train

__all__ = ["RunResult", "prepare", "run_recipe"]

logger = logging.getLogger(__name__)

_APPEARANCE_STRIDE = 10  # every 10th gland frame is a donor of histogram and low frequencies


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The results of a run.

    Attributes
    ----------
    onnx_path : the model
    manifest_path : its inputs and results
    parity : maximum difference between PyTorch and ONNX Runtime for each output
    """

    onnx_path: Path
    manifest_path: Path
    parity: dict[str, float]


def prepare(
    recipe: Recipe, cache_dir: Path, outlines: Path | None = None, corrections: Sequence[Path] = ()
) -> TrainData:
    """Read, crop and simulate all frames of a recipe.

    Parameters
    ----------
    recipe : the run
    cache_dir : cache of decoded and simulated frames
    outlines : folder of the outlines that a teacher drew into the boxes; None = boxes alone
    corrections : folders of recorded sessions whose corrections are trained on

    Raises
    ------
    ConfigError
        When the data folder is not set or a data set is missing from it; when the recipe names corrections and no
        session is given, or the other way round.
    SessionError
        When a session has no corrections, or cannot be read.
    """
    root, data = data_dir(), recipe.data
    if bool(data.corrections_per_batch) != bool(corrections):
        raise ConfigError(
            "corrections are trained on where the recipe has corrections_per_batch in its table [data] and "
            "--corrections names sessions; give both, or neither"
        )
    boxed_set, breast_set = "thyroid_tn5000", "breast_busi"
    wanted = {
        "thyroid_ddti": True,
        "thyroid_gland_tg3k": True,
        "ultrasound_clips_lung": True,
        "thyroid_tn5000": bool(data.boxed_per_batch),
        "breast_busi": bool(data.breast_per_batch),
        "ultrasound_carotid": data.other_pictures,
        "ct_head_png": data.other_pictures,
        "ultrasound_sequences_plus": data.other_pictures,
    }
    used = [name for name, needed in wanted.items() if needed]
    missing = [name for name in used if not (root / name).is_dir()]
    if missing:
        raise ConfigError(f"the data set {', '.join(missing)} is missing from the folder in USASSIST_DATA; fetch it")
    terms = load_terms()
    used += ["phantom"] if data.phantom_frames else []
    used_terms = require_terms([*used, *([CORRECTIONS] if corrections else [])], "training", terms)
    corrected = load_corrections(corrections, data.corrections_val_share)
    if recipe.pretrained:
        used_terms += require_terms([START_WEIGHTS[recipe.model.encoder]], "start", terms)

    @functools.cache
    def leaks() -> dict[str, frozenset[str]]:
        names = (path.stem for path in (root / breast_set / "images").glob("*.jpg"))
        return list_leaks(root, held_out={breast_set: [name for name in names if is_held_out_breast(name)]})

    def cached(key: str, make: Callable[[], list[Sample]]) -> list[Sample]:
        return load_cached(cache_dir, key, make)

    nodule_dir = root / "thyroid_ddti"
    nodule = cached("ddti-train", lambda: load_nodule(nodule_dir, "train", leaks()["thyroid_ddti"]))
    validation = cached("ddti-val", lambda: load_nodule(nodule_dir, "val"))
    last, gland_set = data.gland_last_number, "thyroid_gland_tg3k"
    gland = cached(f"tg3k-train-{last}", lambda: load_gland(root / gland_set, last, leaks()[gland_set]))
    phantom: list[Sample] = []
    if data.phantom_frames:
        share = data.phantom_crossing_share
        key = f"scenes-{data.phantom_seed}-{data.phantom_frames}-{share:g}"
        phantom = cached(key, lambda: load_phantom(data.phantom_frames, data.phantom_seed, share))
    clips = cached("clips", lambda: load_clip_frames(root / "ultrasound_clips_lung"))
    boxed: list[Sample] = []
    if data.boxed_per_batch:
        outlines = outlines if data.teacher_outlines else None
        key = "tn5000-train" if outlines is None else f"tn5000-train-{_fingerprint_outlines(outlines)}"
        boxed = cached(key, lambda: load_boxed(root / boxed_set, "train", outlines, leaks()[boxed_set]))
    breast: list[Sample] = []
    if data.breast_per_batch:
        breast = cached("busi", lambda: load_breast(root / breast_set, leaks()[breast_set]))
    pictures = cached("pictures", lambda: load_pictures(root)) if data.other_pictures else []
    donors = [sample.image for sample in (*gland[::_APPEARANCE_STRIDE], *clips, *boxed[::_APPEARANCE_STRIDE])]
    frames = TrainFrames(
        nodule=nodule,
        gland=gland,
        phantom=phantom,
        boxed=boxed,
        breast=breast,
        other=[*clips, *pictures] if data.other_per_batch else [],
        corrections=corrected.train,
    )
    validation = [*validation, *corrected.validation]
    counts = ", ".join(f"{len(samples)} {kind}" for kind, samples in _by_kind(frames).items())
    logger.info("%s, %d validation frames", counts, len(validation))
    return TrainData(
        frames=frames,
        validation=validation,
        augmenter=Augmenter(recipe.augment, Appearance.from_donors(recipe.augment, donors)),
        encoder_weights=find_weights(recipe.model.encoder, root) if recipe.pretrained else None,
        terms=describe_terms(used_terms),
    )


def _by_kind(frames: TrainFrames) -> dict[str, Sequence[Sample]]:
    return {item.name: getattr(frames, item.name) for item in dataclasses.fields(TrainFrames)}


def _fingerprint_outlines(outlines: Path) -> str:
    """First digits of the SHA-256 of the list of outlines, which names their frames and figures."""
    path = outlines / OUTLINES_LIST
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; make the outlines with the teacher first"
        ) from error


def run_recipe(
    recipe: Recipe,
    out_dir: Path,
    *,
    data: TrainData,
    start_dirs: Sequence[Path] = (),
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> RunResult:
    """Train, export and write the manifest. Resumes from a checkpoint in ``out_dir``.

    Parameters
    ----------
    recipe : the run
    out_dir : gets ``checkpoint.pt``, ``model.onnx`` and ``manifest.json``
    data : the frames, from :func:`prepare`
    start_dirs : folders of other runs; this one starts from the mean of their averaged weights
    on_step : called after every step
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    last, commit = Progress(), _find_commit()  # before training: the checkout may change meanwhile

    def keep_last(progress: Progress) -> None:
        nonlocal last
        last = progress
        on_step(progress)

    net = train(recipe, data, out_dir, start_dirs=start_dirs, on_step=keep_last)
    probe = _make_probe(data.validation or data.frames.nodule, recipe.size_hw_px)
    parity = export_onnx(net, recipe.size_hw_px, out_dir / "model.onnx", probe)
    facts: dict[str, Any] = {
        "commit": commit,
        "started_from": [describe_run(start_dir) for start_dir in start_dirs],
        "data_sha256": {
            name: {"frames": len(samples), "sha256": compute_fingerprint(samples)}
            for name, samples in (*_by_kind(data.frames).items(), ("validation", data.validation))
        },
        "onnx_parity_max_abs": parity,
        "data_terms": list(data.terms),
    }
    write_manifest(out_dir / MANIFEST, recipe, last, facts)
    return RunResult(onnx_path=out_dir / "model.onnx", manifest_path=out_dir / MANIFEST, parity=parity)


def _make_probe(samples: Sequence[Sample], size_hw_px: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    padded, _ = letterbox(samples[0].image, size_hw_px)
    return (padded.astype(np.float32) / np.float32(255.0))[None, None]


def _find_commit() -> str | None:
    """The commit of the checkout, with ``+`` if files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
