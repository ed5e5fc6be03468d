"""The frames that ``usassist engine quantize`` reads: folders of the user's own, or the public data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from usassist.app.quantization.gate import Gate, agreement_gate, labelled_gate, public_gate
from usassist.app.quantization.user_frames import read_user_images, read_user_labelled
from usassist.config import data_dir
from usassist.engine import EngineSpec
from usassist.errors import UsageError
from usassist.training.int8.quantize import CalibrationSet, load_thyroid_sets

__all__ = ["FrameFolders", "choose_frames"]

_COUNT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFolders:
    """Options that choose the frames.

    Attributes
    ----------
    images : the user's own images, which set the ranges; None = the public data sets
    gate_images, gate_masks : the user's own labelled images, on which accuracy is measured
    count : how many of `images` are taken; None = 300
    data : folder of the public data sets; None = ``USASSIST_DATA``
    """

    images: Path | None = None
    gate_images: Path | None = None
    gate_masks: Path | None = None
    count: int | None = None
    data: Path | None = None


def choose_frames(spec: EngineSpec, folders: FrameFolders) -> tuple[list[CalibrationSet], Gate]:
    """Read the frames that set the ranges, and make the gate with its own frames.

    Raises
    ------
    UsageError
        If folders of the user's own and the public data sets are mixed, or one of the two folders of the gate is
        missing.
    ConfigError
        If a public data set is missing.
    SourceError
        If a folder of the user's own cannot be used.
    """
    own = {"--gate-images": folders.gate_images, "--gate-masks": folders.gate_masks, "--count": folders.count}
    if folders.images is None:
        alone = [option for option, value in own.items() if value is not None]
        if alone:
            raise UsageError(f"{alone[0]} goes with --images FOLDER; name the folder of your own images")
        root = folders.data if folders.data is not None else data_dir()
        return load_thyroid_sets(root), public_gate(spec, root)
    if folders.data is not None:
        raise UsageError("--images and --data cannot go together; leave one out")
    if (folders.gate_images is None) != (folders.gate_masks is None):
        raise UsageError("--gate-images and --gate-masks go together; give both, or neither")
    images = read_user_images(folders.images, folders.count or _COUNT)
    if folders.gate_images is None or folders.gate_masks is None:
        return [images.frames], agreement_gate(spec, images.paths)
    labelled = read_user_labelled(folders.gate_images, folders.gate_masks)
    return [images.frames], labelled_gate(spec, labelled, images.digests)
