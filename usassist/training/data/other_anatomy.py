"""Frames that do not show the thyroid: breast, lung, carotid, bone, test blocks, heads in CT, and drawn screens.

They teach the network when to abstain. Breast lesions have outlines, which teach borders of lesions, but they are no
thyroid nodules and are not to be detected.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.training.data.masked import read_masked_folder
from usassist.training.data.sample import Sample, crop, crop_and_clean, nothing_marked

__all__ = ["BREAST_HELD_OUT", "is_held_out_breast", "list_clips", "load_breast", "load_clip_frames", "load_pictures"]

UInt8Array = npt.NDArray[np.uint8]

BREAST_HELD_OUT = 5
"""One in so many BUSI frames is held out for measuring abstention."""

_CLIP_SUFFIXES = (".mp4", ".mov", ".mpeg")
_CAROTID_HELD_OUT = ("classification", "201509291151590620", "201902120820080009")  # patients, and all full screens
_SEQUENCES = (
    "BoneUltrasound_L14.igs.mha",
    "NwirePhantomFreehand.igs.mha",
    "UltrasonixCurvilinearScanConvertedData.igs.mha",
)  # the others are held out
_FRAMES_PER_SEQUENCE = 10
_MAX_SIDE_PX = 400


def is_held_out_breast(name: str) -> bool:
    """True for the BUSI frames that no training sees; the choice depends on the name alone."""
    return zlib.crc32(name.encode()) % BREAST_HELD_OUT == 0


def load_breast(folder: Path, left_out: Collection[str] = ()) -> list[Sample]:
    """BUSI frames with the outlines of their lesions, cropped, without those that are held out or left out."""
    samples = []
    for name, image, mask in read_masked_folder(
        folder, lambda name: not is_held_out_breast(name) and name not in left_out
    ):
        samples.append(crop_and_clean(_other(name, image, look="breast", nodule=mask)))
    return samples


def list_clips(folder: Path) -> list[Path]:
    """The clips of a folder's sub-folders, in order."""
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in _CLIP_SUFFIXES)


def load_clip_frames(folder: Path, frames_per_clip: int = 3) -> list[Sample]:
    """Evenly spread frames of every second clip of the lung, without nodules; the other clips are held out.

    Parameters
    ----------
    folder : clips (``*.mp4``, ``*.mov``, ``*.mpeg``) in sub-folders
    frames_per_clip : of each clip
    """
    samples = []
    for path in list_clips(folder)[::2]:
        clip = cv2.VideoCapture(str(path))
        count = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
        for place in range(frames_per_clip):
            index = (2 * place + 1) * count // (2 * frames_per_clip)
            clip.set(cv2.CAP_PROP_POS_FRAMES, index)
            ok, frame = clip.read()
            if ok:
                grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
                samples.append(crop(_other(f"{path.stem}_{index}", grey, look="lung")))
        clip.release()
    return samples


def load_pictures(root: Path, drawn: int = 60) -> list[Sample]:
    """Carotid frames of half of the patients, bone and test blocks, heads in CT, and drawn screens.

    Parameters
    ----------
    root : folder of the data sets
    drawn : number of menus, test patterns and noise that are drawn
    """
    samples = [
        crop(_other(path.stem, image, look="carotid"))
        for path, image in _read_greys(root / "ultrasound_carotid", "*.png")
        if not any(part in path.stem for part in _CAROTID_HELD_OUT)
    ]
    heads = list(_read_greys(root / "ct_head_png", "*.png"))[::2]
    samples += [_other(path.stem, image, look="head") for path, image in heads]
    for name in _SEQUENCES:
        frames = _read_sequence(root / "ultrasound_sequences_plus" / name)
        step = max(1, len(frames) // _FRAMES_PER_SEQUENCE)
        samples += [crop(_other(f"{name}_{place}", frames[place], look=name)) for place in range(0, len(frames), step)]
    return samples + [_draw_screen(seed) for seed in range(drawn)]


def _read_greys(folder: Path, pattern: str) -> Iterator[tuple[Path, UInt8Array]]:
    if not folder.is_dir():
        raise ConfigError(f"the data set {folder.name} is missing from the folder in USASSIST_DATA; fetch it")
    for path in sorted(folder.glob(pattern)):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ConfigError(f"{path} cannot be read; fetch the data set again")
        yield path, np.asarray(image, np.uint8)


def _read_sequence(path: Path) -> UInt8Array:
    """The frames of a MetaImage file with its pixels in it, raw or zlib: uint8 (N, H, W).

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    try:
        head, _, data = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
        facts = dict(line.split(" = ", 1) for line in head.decode("latin-1").splitlines() if " = " in line)
        width, height, count = (int(side) for side in facts["DimSize"].split())
        pixels = zlib.decompress(data) if facts["CompressedData"] == "True" else data
        return np.frombuffer(pixels, np.uint8, count * height * width).reshape(count, height, width)
    except (OSError, KeyError, ValueError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {error}; fetch the data set again") from error


def _draw_screen(seed: int) -> Sample:
    """A menu, a test pattern, a smooth picture or noise: what a grabber shows when it shows no scan."""
    rng = np.random.default_rng((911, seed))
    height_px, width_px = int(rng.integers(200, 400)), int(rng.integers(260, 420))
    kind = seed % 4
    if kind == 0:
        image = np.full((height_px, width_px), int(rng.integers(0, 90)), np.uint8)
        for row in range(8, height_px, int(rng.integers(14, 30))):
            text = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVWZ 0123456789:./"), int(rng.integers(4, 30))))
            place = (int(rng.integers(0, 60)), row)
            cv2.putText(
                image,
                text,
                place,
                cv2.FONT_HERSHEY_SIMPLEX,
                float(rng.uniform(0.3, 0.7)),
                int(rng.integers(120, 256)),
                1,
            )
    elif kind == 1:
        image = np.asarray(rng.integers(0, 256, (height_px, width_px)), np.uint8)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 6.0))), np.uint8)
    elif kind == 2:
        coarse = rng.integers(0, 256, (int(rng.integers(2, 9)), int(rng.integers(2, 9)))).astype(np.uint8)
        image = np.asarray(cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.uint8)
    else:
        image = np.zeros((height_px, width_px), np.uint8)
        for _ in range(int(rng.integers(3, 20))):
            corners = rng.integers(0, [width_px, height_px], (2, 2)).tolist()
            cv2.rectangle(image, corners[0], corners[1], int(rng.integers(0, 256)), int(rng.choice([-1, 1, 3])))
    return _other(f"drawn_{seed}", image, look="drawn")


def _other(name: str, image: UInt8Array, *, look: str, nodule: UInt8Array | None = None) -> Sample:
    scale = min(1.0, _MAX_SIDE_PX / max(image.shape))
    if scale < 1.0:
        size_wh = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        nodule = (
            None
            if nodule is None
            else np.asarray(cv2.resize(nodule, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
        )
    nothing = nothing_marked(image)
    return Sample(
        name=name, image=image, nodule=nothing if nodule is None else nodule, gland=nothing, look=look, is_thyroid=False
    )
