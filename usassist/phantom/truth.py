"""Ground truth of a phantom frame, and its file format: one JSON object per line.

The first line describes the clip, each further line one frame. Label maps are run-length encoded in row-major order,
``[skip, length, label, skip, length, label, …]``, where ``skip`` counts background since the last run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError

__all__ = ["ClipTruth", "NoduleTruth", "PhantomFrame", "PhantomScan", "TruthFrame", "read_truth", "truth_lines"]

_SCHEMA, _VERSION = "usassist.phantom.truth", [1, 0]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleTruth:
    """The section of one nodule in a frame.

    Attributes
    ----------
    identity : 1 to 255, constant during a sweep; its value in the label map
    kind : see ``NodulePlan.kind``
    xyxy_px : bounding box of its pixels in the scan image, continuous image coordinates
    major_mm, minor_mm : longest diameter of the section and the widest extent across it, of the whole section, also
        if it extends beyond the image
    area_mm2 : area of the section
    axes_xze_mm : full diameters of the ellipsoid in the body
    cropped : True when the section extends beyond the image
    """

    identity: int
    kind: str
    xyxy_px: tuple[float, float, float, float]
    major_mm: float
    minor_mm: float
    area_mm2: float
    axes_xze_mm: tuple[float, float, float]
    cropped: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhantomScan:
    """The scan image alone, for training.

    Attributes
    ----------
    scan : uint8 (H, W)
    labelmap : uint8 (H, W), 0 is background, otherwise the identity of a nodule
    nodules : those with at least one pixel, by identity
    spacing_rc_mm : mm per px, rows then columns
    t_s : time of the frame
    """

    scan: UInt8Array
    labelmap: UInt8Array
    nodules: tuple[NoduleTruth, ...]
    spacing_rc_mm: tuple[float, float]
    t_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhantomFrame:
    """A whole screen with the ground truth of its scan image.

    Attributes
    ----------
    screen : uint8 (H, W, 3), RGB
    scan_xyxy_px : position of the scan image on the screen
    labelmap : uint8 (h, w) of the scan image, 0 is background, otherwise the identity of a nodule
    nodules : those with at least one pixel, by identity
    spacing_rc_mm : mm per px, rows then columns
    t_s : time of the frame
    """

    screen: UInt8Array
    scan_xyxy_px: tuple[int, int, int, int]
    labelmap: UInt8Array
    nodules: tuple[NoduleTruth, ...]
    spacing_rc_mm: tuple[float, float]
    t_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFrame:
    """Ground truth of one frame of a clip, as read from its file.

    Attributes
    ----------
    frame_id : from 0, in the order of the clip
    t_s : time of the frame
    nodules : visible nodules
    runs : run lengths of the label map
    scan_hw_px : height and width of the scan image
    """

    frame_id: int
    t_s: float
    nodules: tuple[NoduleTruth, ...]
    runs: tuple[int, ...]
    scan_hw_px: tuple[int, int]

    def labelmap(self) -> UInt8Array:
        """Label map of the scan image, uint8 (h, w)."""
        flat = np.zeros(self.scan_hw_px[0] * self.scan_hw_px[1], np.uint8)
        at = 0
        for skip, length, label in zip(self.runs[0::3], self.runs[1::3], self.runs[2::3], strict=True):
            at += skip
            flat[at : at + length] = label
            at += length
        return flat.reshape(self.scan_hw_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTruth:
    """Ground truth of a clip.

    Attributes
    ----------
    seed : of the phantom
    rate_hz : frames per second
    screen_hw_px : height and width of the screen
    scan_xyxy_px : position of the scan image on it
    spacing_rc_mm : mm per px, rows then columns
    frames : one entry per frame, in order
    """

    seed: int
    rate_hz: float
    screen_hw_px: tuple[int, int]
    scan_xyxy_px: tuple[int, int, int, int]
    spacing_rc_mm: tuple[float, float]
    frames: tuple[TruthFrame, ...]


def truth_lines(frames: Iterable[PhantomFrame], *, seed: int, rate_hz: float) -> Iterable[str]:
    """The lines of a truth file, generated frame by frame; the header comes with the first frame."""
    for frame_id, frame in enumerate(frames):
        if frame_id == 0:
            header = {
                "schema": _SCHEMA,
                "version": _VERSION,
                "seed": seed,
                "rate_hz": rate_hz,
                "screen_hw_px": frame.screen.shape[:2],
                "scan_xyxy_px": frame.scan_xyxy_px,
                "spacing_rc_mm": frame.spacing_rc_mm,
            }
            yield _line(header)
        nodules = [_rounded(asdict(n)) for n in frame.nodules]
        yield _line(
            {"frame_id": frame_id, "t_s": round(frame.t_s, 6), "nodules": nodules, "runs": encode_runs(frame.labelmap)}
        )


def encode_runs(labelmap: UInt8Array) -> list[int]:
    """Run-length encode a label map (see the module)."""
    flat = labelmap.ravel()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]]).tolist()
    runs: list[int] = []
    last = 0
    for a, b in pairwise(edges):
        if flat[a]:
            runs += [a - last, b - a, int(flat[a])]
            last = b
    return runs


def read_truth(path: str | Path) -> ClipTruth:
    """Read a truth file.

    Raises
    ------
    SessionError
        If the file cannot be read, is not a truth file, or has another major version.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = json.loads(lines[0])
        if header["schema"] != _SCHEMA or header["version"][0] != _VERSION[0]:
            raise SessionError(f"{path.name} is not a phantom truth file of version 1; write the clip again")
        x1, y1, x2, y2 = header["scan_xyxy_px"]
        frames = tuple(_frame(json.loads(line), (y2 - y1, x2 - x1)) for line in lines[1:])
        return ClipTruth(
            seed=header["seed"],
            rate_hz=header["rate_hz"],
            screen_hw_px=tuple(header["screen_hw_px"]),
            scan_xyxy_px=(x1, y1, x2, y2),
            spacing_rc_mm=tuple(header["spacing_rc_mm"]),
            frames=frames,
        )
    except OSError as error:
        if isinstance(error, SessionError):
            raise
        raise SessionError(f"cannot read {path.name}: {error.strerror}; check the path") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SessionError(f"{path.name} is not a phantom truth file; write the clip again") from error


def _frame(entry: dict[str, Any], scan_hw_px: tuple[int, int]) -> TruthFrame:
    nodules = tuple(
        NoduleTruth(**(n | {"xyxy_px": tuple(n["xyxy_px"]), "axes_xze_mm": tuple(n["axes_xze_mm"])}))
        for n in entry["nodules"]
    )
    return TruthFrame(
        frame_id=entry["frame_id"], t_s=entry["t_s"], nodules=nodules, runs=tuple(entry["runs"]), scan_hw_px=scan_hw_px
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [_rounded(v) for v in value]
    return value


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n"
