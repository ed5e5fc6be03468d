"""Clips of the simulated scanner, made in memory, with the identities and true sizes of their nodules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.evaluation.folders import LabelledFrame
from usassist.evaluation.mask_identities import IdentitiesFrom
from usassist.evaluation.sizes import draw_scale_error
from usassist.evaluation.truth import NoduleSize, Scale
from usassist.frames import to_grey
from usassist.phantom import PhantomFrame, SweepScene, draw_sweep_scenes, render_sweep

__all__ = ["SPACING_REL_SD", "PhantomClip", "draw_phantom_clips"]

SPACING_REL_SD = 0.01
"""Relative standard uncertainty of the scale that is given with simulated frames, which is wrong by so much."""

_SAMPLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomClip:
    """One simulated sweep.

    Attributes
    ----------
    scene : what is simulated
    scale_error : factor by which the scale that is given is wrong
    """

    scene: SweepScene
    scale_error: float

    @property
    def name(self) -> str:
        """Number and kind of the sweep."""
        return self.scene.name

    @property
    def numbers(self) -> Sequence[int]:
        """Of the frames, from 0."""
        return range(self.scene.frames)

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return self.scene.config.rate_hz

    def check(self) -> IdentitiesFrom:
        """There is nothing that could be wrong; identities are those of the simulated scanner."""
        return IdentitiesFrom.SCANNER

    def sample(self) -> list[npt.NDArray[np.uint8]]:
        """A few images spread over the clip, uint8 (H, W), to find the scan area on."""
        step = max(1, (self.scene.frames - 1) // (_SAMPLES - 1))
        return [to_grey(frame.screen) for frame in render_sweep(self.scene, range(0, self.scene.frames, step))]

    def read(self, told_by: IdentitiesFrom = IdentitiesFrom.SCANNER) -> Iterator[LabelledFrame]:
        """The frames in order: whole screens, with a scale that is a little wrong."""
        for number, frame in enumerate(render_sweep(self.scene)):
            yield _label(self, number, frame)


def draw_phantom_clips(count: int, seed: int) -> list[PhantomClip]:
    """Draw clips: the same seed gives the same pixels.

    Raises
    ------
    UsageError
        If `count` or `seed` is out of range, see :func:`usassist.phantom.draw_sweep_scenes`.
    """
    return [
        PhantomClip(scene=scene, scale_error=draw_scale_error(SPACING_REL_SD, scene.config.seed))
        for scene in draw_sweep_scenes(count, seed)
    ]


def _label(clip: PhantomClip, number: int, frame: PhantomFrame) -> LabelledFrame:
    image = to_grey(frame.screen)
    x1, y1, x2, y2 = frame.scan_xyxy_px
    identity = np.zeros(image.shape, np.uint8)
    identity[y1:y2, x1:x2] = frame.labelmap
    row_mm, column_mm = frame.spacing_rc_mm
    return LabelledFrame(
        name=f"{clip.name}_{number:03d}",
        case=clip.name,
        image=image,
        truth=identity > 0,
        identity=identity,
        sizes=tuple(
            NoduleSize(identity=nodule.identity, major_mm=nodule.major_mm, is_cut=nodule.cropped)
            for nodule in frame.nodules
        ),
        scale=Scale(spacing_rc_mm=(row_mm * clip.scale_error, column_mm * clip.scale_error), rel_sd=SPACING_REL_SD),
    )
