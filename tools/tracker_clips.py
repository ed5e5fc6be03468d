"""Clips for reports on tracking: what the live path shows on every frame, beside the nodules that are there."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.calibrate import DEFAULT_POINT, load_score_calibration
from usassist.engine import find_engine, open_engine
from usassist.errors import ScanAreaError, UsageError
from usassist.evaluation.images import read_grey, read_mask
from usassist.evaluation.metrics import label_overlaps
from usassist.evaluation.sweep_clips import list_clips, sample_images
from usassist.frames import compute_thumbnail, fill_labelmap, find_scan_area, may_go_on
from usassist.phantom import PhantomConfig, PhantomScanner, draw_sweep_scenes, render_sweep
from usassist.pipeline import StreamAssociation, make_association
from usassist.records import Detections, Frame, Segmentation

__all__ = ["ClipFrame", "Scene", "answer_clips", "real_scenes", "rocking_scenes", "simulated_scenes"]

UInt8Array = npt.NDArray[np.uint8]
Shown = tuple[UInt8Array, UInt8Array]
"""A grey image, uint8 (H, W), and the identities of the nodules in it, uint8 (H, W), 0 = none."""

_ROCK_MM_S, _ROCKS = 12.0, 5
_BEYOND_MM = 3.0  # that the plane leaves the nodule by, at one end


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipFrame:
    """One frame, without pixels.

    Attributes
    ----------
    time_s : of the frame
    shown : what is shown, with the track ids of the live path
    nodule : int64 (T,), identities of the nodules in the frame
    overlap : float64 (N, T), IoU of every shown outline with every nodule
    answered : the engine did not abstain
    same_image : it may follow the last answered frame, and is not another image
    outlines : of what is shown
    hw_px : height and width
    truth_bits : uint8, the pixels of all nodules, packed
    """

    time_s: float
    shown: Detections
    nodule: npt.NDArray[np.int64]
    overlap: npt.NDArray[np.float64]
    answered: bool
    same_image: bool
    outlines: Segmentation
    hw_px: tuple[int, int]
    truth_bits: UInt8Array

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        """The pixels of all nodules, bool (H, W)."""
        height, width = self.hw_px
        return np.unpackbits(self.truth_bits)[: height * width].reshape(self.hw_px).astype(np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A clip to be: its name, the frames a second that it is taken to have, and its frames."""

    name: str
    rate_hz: float
    frames: Callable[[], Iterator[Shown]]


def simulated_scenes(count: int, seed: int) -> list[Scene]:
    """Sweeps of ``usassist.phantom``, of all its kinds in turn."""

    def frames(scene: Any) -> Iterator[Shown]:
        for shown in render_sweep(scene):
            x1, y1, x2, y2 = shown.scan_xyxy_px
            yield np.ascontiguousarray(shown.screen[y1:y2, x1:x2, 1]), shown.labelmap

    scenes = draw_sweep_scenes(count, seed)
    return [
        Scene(name=scene.name, rate_hz=scene.config.rate_hz, frames=functools.partial(frames, scene))
        for scene in scenes
    ]


def rocking_scenes(count: int, seed: int) -> list[Scene]:
    """The probe rocks over one nodule: it leaves the plane and comes back within about a second, again and again."""

    def frames(config: PhantomConfig) -> Iterator[Shown]:
        scanner = PhantomScanner(config)
        for number in range(round(_ROCKS * config.sweep_s * config.rate_hz)):
            shown = scanner.render_scan(number / config.rate_hz)
            yield shown.scan, shown.labelmap

    scenes = []
    for number in range(count):
        config = dataclasses.replace(
            PhantomConfig.random(seed + number, scan_hw_px=(420, 480)), nodule_count=2, calipers=False, rate_hz=30.0
        )
        nodules = PhantomScanner(config).nodules
        if not nodules:
            continue
        middle_mm, half_mm = nodules[0].plan.center_xze_mm[2], 0.5 * nodules[0].plan.axes_xze_mm[2]
        start_mm, end_mm = middle_mm - 0.5 * half_mm, middle_mm + half_mm + _BEYOND_MM
        config = dataclasses.replace(
            config,
            nodules=tuple(nodule.plan for nodule in nodules),
            sweep_mm=(start_mm, end_mm),
            sweep_s=(end_mm - start_mm) / _ROCK_MM_S,
        )
        scenes.append(Scene(name=f"rock_{number + 1:02d}", rate_hz=30.0, frames=functools.partial(frames, config)))
    return scenes


def real_scenes(folder: Path, rate_hz: float) -> list[Scene]:
    """Clips in ``images`` and ``masks`` below a folder, with one nodule marked in each, cut to the scan area."""

    def frames(clip: Any) -> Iterator[Shown]:
        images = sample_images(clip)
        try:
            x1, y1, x2, y2 = find_scan_area(images).xyxy_px
        except ScanAreaError:
            x1, y1, x2, y2 = 0, 0, images[0].shape[1], images[0].shape[0]
        for pair in clip.pairs:
            mask = read_mask(pair.mask)[y1:y2, x1:x2]
            yield np.ascontiguousarray(read_grey(pair.image)[0][y1:y2, x1:x2]), mask.astype(np.uint8)

    clips = list_clips(folder / "images", folder / "masks", [])
    return [Scene(name=clip.name, rate_hz=rate_hz, frames=functools.partial(frames, clip)) for clip in clips]


def answer_clips(
    scenes: Sequence[Scene], backend: str, threads: int, progress: Callable[[str], None]
) -> dict[str, list[ClipFrame]]:
    """Answer all frames with the engine that ships, as a stream does.

    Raises
    ------
    UsageError
        If the engine's operating point has no association over frames, without which nothing is tracked.
    """
    spec = find_engine("thyroid_nodule")
    scores = load_score_calibration(spec.engine_id)
    clips = {}
    with open_engine(spec, backend, threads, "fp32") as engine:
        for scene in scenes:
            association = make_association(spec, scores, DEFAULT_POINT, None)
            if association is None:
                raise UsageError(f"{spec.engine_id} has no association over frames; nothing is tracked without it")
            task, stream = association.make_task(), StreamAssociation(association, realtime=True)
            frames: list[ClipFrame] = []
            before = None
            for number, (image, truth) in enumerate(_checked(scene.frames())):
                height, width = image.shape
                time_s = number / scene.rate_hz
                frame = Frame(
                    session_id="tracker_report",
                    source_id="us0",
                    frame_id=number,
                    t_capture_ns=round(time_s * 1e9),
                    image=image,
                    roi_xyxy_px=(0, 0, width, height),
                )
                candidates = task(frame, engine)
                answer, _ = stream.complete(frame, candidates)
                thumbnail = compute_thumbnail(image)
                same_image = before is None or may_go_on(before, thumbnail)
                before = before if candidates.abstains else thumbnail
                nodule = np.unique(truth[truth > 0]).astype(np.int64)
                rows = np.where(truth > 0, np.searchsorted(nodule, truth) + 1, 0)
                found = fill_labelmap(answer.segmentation, (height, width))
                frames.append(
                    ClipFrame(
                        time_s=time_s,
                        shown=answer.detections,
                        nodule=nodule,
                        overlap=label_overlaps(found, len(answer.detections), rows, len(nodule)),
                        answered=not candidates.abstains,
                        same_image=same_image,
                        outlines=answer.segmentation,
                        hw_px=(height, width),
                        truth_bits=np.packbits(truth > 0),
                    )
                )
            clips[scene.name] = frames
            progress(scene.name)
    return clips


def _checked(frames: Iterable[Shown]) -> Iterator[Shown]:
    for image, truth in frames:
        if image.shape != truth.shape:
            raise UsageError(f"an image of {image.shape} has a mask of {truth.shape}; make them alike")
        yield image, truth
