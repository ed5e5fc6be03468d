"""A simulated spine from T8 to the coccyx, with ribs and pelvis: where its bones lie, painted plane by plane.

Coordinates in mm: x to the patient's left, y to the back, z to the head; the origin is the middle of the upper end
plate of S1. Every vertebra has a frame of its own, (lateral, anterior, up), which follows the curves. Sizes are round
numbers in the ranges of published morphometry of bodies (Panjabi, Spine 1992) and discs (lumbar discs of 8 to 14 mm in
the middle); they were not fitted to any image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.bones import Bone, Capsule, Frame, Wing, make_frame
from usassist.phantom.ct.vertebra import VertebraShape, paint_vertebra

__all__ = ["OTHER_BONE", "Spine", "SpinePlan", "Vertebra", "draw_spine_plan"]

FloatArray = npt.NDArray[np.float32]
OTHER_BONE = 200
"""Label of ribs, iliac wings and what lies below S1."""

# name → height of the body, disc above it, width, depth (mm), forward lean of the body (degrees)
_SIZES = {
    "T7": (19.5, 4.5, 35, 28, -1), "T8": (20.0, 4.5, 36, 28, -3), "T9": (20.5, 4.5, 37, 29, -5),
    "T10": (21.5, 5.0, 38, 29, -7), "T11": (22.5, 5.0, 40, 30, -9), "T12": (24.0, 5.5, 42, 30, -10),
    "L1": (25.5, 6.5, 43, 31, -9), "L2": (26.5, 8.0, 44, 32, -6), "L3": (27.0, 9.0, 46, 33, 0),
    "L4": (26.5, 10.0, 48, 34, 8),
    "L5": (26.0, 11.0, 50, 34, 21), "L6": (26.0, 10.5, 50, 34, 26), "S1": (27.0, 10.5, 50, 32, 40),
}  # fmt: skip
_SACRUM = ((23.0, 38, 22, 52), (20.0, 30, 17, 62), (18.0, 26, 14, 62), (16.0, 22, 11, 45), (22.0, 14, 8, 18))
_THORACIC = ("T12", "T11", "T10", "T9", "T8", "T7")
# length along the rib and fall of its end below its vertebra, mm
_RIBS = {"T12": (105, 55), "T11": (175, 85), "T10": (250, 110), "T9": (280, 115), "T8": (290, 110), "T7": (290, 105)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinePlan:
    """Everything that is drawn at random about a spine.

    Attributes
    ----------
    lumbar : number of lumbar vertebrae, 4 to 6; 5 but for transitional anatomy
    scale : of all lengths
    lordosis : of the forward and backward lean of the bodies; 1 = usual
    scoliosis_deg : largest lateral lean, alternating along the spine
    spongy_hu, cortex_hu : inside of the bodies, and compact bone
    disc_share : height of each disc relative to usual, from the lumbosacral one upwards (11 numbers)
    rib12_mm : length of the last rib; below 20 = none
    wall_xy_mm : semi-axes of the ellipse on which the ribs lie
    crest_share : where the iliac crest ends: 0 = upper end of L5, 1 = upper end of L4
    fused_last : the transverse processes of the last lumbar vertebra are broad and joined with the sacrum
    metal : screws and rods in the last two lumbar vertebrae
    """

    lumbar: int = 5
    scale: float = 1.0
    lordosis: float = 1.0
    scoliosis_deg: float = 0.0
    spongy_hu: float = 160.0
    cortex_hu: float = 480.0
    disc_share: tuple[float, ...] = (1.0,) * 11
    rib12_mm: float = 105.0
    wall_xy_mm: tuple[float, float] = (138.0, 92.0)
    crest_share: float = 0.4
    fused_last: bool = False
    metal: bool = False


def draw_spine_plan(seed: int) -> SpinePlan:
    """A spine with five lumbar vertebrae and random size, curves, density, discs, last rib and iliac crest."""
    rng = np.random.default_rng([seed, 0x59])
    spongy = float(rng.uniform(50, 230))
    discs = np.clip(rng.normal(1.0, 0.14, 11), 0.55, 1.35)
    if rng.random() < 0.35:  # one or two worn discs
        discs[: 2 if rng.random() < 0.4 else 1] *= 0.55
    return SpinePlan(
        scale=float(rng.uniform(0.87, 1.1)),
        lordosis=float(rng.uniform(0.4, 1.35)),
        scoliosis_deg=float(rng.uniform(6, 18)) if rng.random() < 0.3 else float(rng.uniform(0, 3)),
        spongy_hu=spongy,
        cortex_hu=320 + spongy,
        disc_share=tuple(discs.tolist()),
        rib12_mm=float(rng.uniform(45, 140)),
        wall_xy_mm=(float(rng.uniform(125, 165)), float(rng.uniform(80, 115))),
        crest_share=float(np.clip(rng.normal(0.45, 0.3), -0.2, 1.2)),
    )


@dataclass(frozen=True, slots=True)
class Vertebra:
    """One vertebra.

    Attributes
    ----------
    name : ``T7`` to ``S1``
    label : of its pixels
    centre_mm : x, y, z of the middle of its body
    z_range_mm : lowest and highest z on the axis of its body
    """

    name: str
    label: int
    centre_mm: tuple[float, float, float]
    z_range_mm: tuple[float, float]


class Spine:
    """The bones of a plan.

    Parameters
    ----------
    plan : of :func:`draw_spine_plan`, or made by hand

    Attributes
    ----------
    vertebrae : from S1 upwards
    """

    def __init__(self, plan: SpinePlan) -> None:
        self.plan = plan
        names = ["S1", *[f"L{n}" for n in range(plan.lumbar, 0, -1)], *_THORACIC]
        self._shapes: list[VertebraShape] = []
        self._bones: list[Bone] = []
        frames = self._stack(names)
        self.vertebrae = tuple(
            Vertebra(name, index + 1, _point(frame.centre), _extent(frame, shape.height))
            for index, (name, frame, shape) in enumerate(zip(names, frames, self._shapes, strict=True))
        )
        self._sacrum(frames[0])
        self._pelvis(frames)
        self._ribs(dict(zip(names, frames, strict=True)))
        if plan.metal:
            self._metal(frames)

    def at(self, z_mm: float) -> tuple[float, float]:
        """x and y of the middle of the spine at a height, mm; where organs can be placed about it."""
        z, x, y = np.array([(v.centre_mm[2], v.centre_mm[0], v.centre_mm[1]) for v in self.vertebrae]).T
        return float(np.interp(z_mm, z, x)), float(np.interp(z_mm, z, y))

    def paint(
        self, hu: FloatArray, x_mm: FloatArray, y_mm: FloatArray, z_mm: float,
        labels: npt.NDArray[np.uint8] | None = None,
    ) -> None:  # fmt: skip
        """Paint bones, discs and canal on one plane, with partial volume in the plane.

        Parameters
        ----------
        hu : float32 (Y, X), changed in place
        x_mm, y_mm : of columns and rows, ascending, evenly spaced
        z_mm : of the plane; average several for a thick slice
        labels : uint8 (Y, X), changed in place: label of the vertebra, or ``OTHER_BONE``
        """
        grid = (x_mm, y_mm, z_mm)
        for bone in self._bones:
            bone.paint(hu, grid, labels, OTHER_BONE)
        for part in ("soft", "bone"):
            for index, shape in enumerate(self._shapes):
                paint_vertebra(shape, part, hu, grid, labels, index + 1)
        for bone in self._late:
            bone.paint(hu, grid, labels, OTHER_BONE)

    def _stack(self, names: list[str]) -> list[Frame]:
        """Frames from S1 up: each body stands on the disc of the one below."""
        plan, frames = self.plan, []
        self._late: list[Bone] = []
        position = np.zeros(3)
        for index, name in enumerate(names):
            height, disc, width, depth, lean = _SIZES[name]
            share = plan.disc_share[min(index, len(plan.disc_share) - 1)]
            height, disc = height * plan.scale, disc * plan.scale * share
            lateral = plan.scoliosis_deg * math.sin(0.55 * index)
            frame = make_frame(np.zeros(3), math.radians(lean * plan.lordosis), math.radians(lateral))
            below = height / 2 if index else -height / 2  # the origin is on top of S1
            frame = Frame(position + frame.up * below, frame.lateral, frame.anterior, frame.up)
            position = frame.centre + frame.up * height / 2
            above = names[index + 1] if index + 1 < len(names) else name
            next_frame = make_frame(np.zeros(3), math.radians(_SIZES[above][4] * plan.lordosis), math.radians(lateral))
            position = position + disc * _unit(frame.up + next_frame.up)
            frames.append(frame)
            self._shapes.append(
                VertebraShape(
                    frame=frame, height=height, disc=disc, half_width=width / 2 * plan.scale,
                    half_depth=depth / 2 * plan.scale,
                    scale=plan.scale, kind=name[0], is_last_lumbar=name == f"L{plan.lumbar}",
                    is_fused=plan.fused_last and name == f"L{plan.lumbar}",
                    spongy_hu=plan.spongy_hu, cortex_hu=plan.cortex_hu,
                )
            )  # fmt: skip
        return frames

    def _capsule(
        self, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], radius: float, inside: float
    ) -> None:
        self._bones.append(Capsule(start, end, radius * self.plan.scale, inside, self.plan.cortex_hu, 1.3))

    def _sacrum(self, first: Frame) -> None:
        """Wings of S1 to S3, and the fused bodies below S1."""
        plan, s = self.plan, self.plan.scale
        inside = 0.6 * plan.spongy_hu + 20
        height = float(_SIZES["S1"][0]) * s
        for side in (-1, 1):
            for up, reach, radius in ((3, 46, 12), (-12, 46, 12), (-26, 40, 11), (-40, 32, 9)):
                start = first.at(side * 16 * s, -6 * s, up * s)
                self._capsule(start, first.at(side * reach * s, -14 * s, (up - 4) * s), radius, inside)
        bottom, frame = first.centre - first.up * height / 2, first
        for size, width, depth, lean in _SACRUM:
            frame = make_frame(np.zeros(3), math.radians(lean * (0.7 + 0.3 * plan.lordosis)), 0.0)
            centre = bottom - frame.up * (size * s / 2)
            frame = Frame(centre, frame.lateral, frame.anterior, frame.up)
            for share in (-0.5, 0.0, 0.5):
                start = frame.at(share * width * s, 0, size * s / 2)
                self._capsule(start, frame.at(share * width * s, 0, -size * s / 2), depth / 2, inside)
            bottom = centre - frame.up * (size * s / 2)

    def _pelvis(self, frames: list[Frame]) -> None:
        plan, s = self.plan, self.plan.scale
        last, above = frames[1], frames[2]
        low = float((last.centre + last.up * 13 * s)[2])
        high = float((above.centre + above.up * 13 * s)[2])
        crest = low + plan.crest_share * (high - low)
        back = frames[0].at(0, -22 * s, -18 * s)
        for side in (-1.0, 1.0):
            self._bones.append(
                Wing(
                    side=side, centre_x=float(frames[0].centre[0]), back_y=float(back[1]) + 35 * s, back_x=48 * s,
                    front_x=min(0.9 * plan.wall_xy_mm[0], 125 * s), front_y=float(back[1]) - 118 * s, crest_z=crest,
                    foot_z=float(back[2]) - 62 * s, scale=s, spongy_hu=0.7 * plan.spongy_hu + 30,
                    cortex_hu=plan.cortex_hu + 80,
                )
            )  # fmt: skip

    def _ribs(self, frames: dict[str, Frame]) -> None:
        """Each rib goes back and outwards from its vertebra, then along the wall of the chest, and falls."""
        plan, s = self.plan, self.plan.scale
        a, b = plan.wall_xy_mm
        for name, (usual_mm, fall) in _RIBS.items():
            frame = frames[name]
            length = plan.rib12_mm if name == "T12" else usual_mm * s
            if length < 20:
                continue
            shape = next(item for item in self._shapes if item.frame is frame)
            for side in (-1, 1):
                head = frame.at(side * (shape.half_width - 1), -shape.half_depth * 0.75, 0.25 * shape.height)
                bend = frame.at(side * 38 * s, -shape.half_depth - 22 * s, -5 * s)
                points, walked = [head, bend], float(np.linalg.norm(bend - head))
                angle = math.asin(min(38 * s / a, 0.9))
                centre_y, aside = float(bend[1]) - b * math.cos(angle), float(frame.centre[0])
                while walked < length:
                    angle += 8.0 / math.hypot(a * math.cos(angle), b * math.sin(angle))
                    aside *= 0.85  # the chest does not follow a lateral curve
                    share = min((walked - 40) / (0.75 * usual_mm * s), 1.0)
                    x = aside + side * a * math.sin(angle)
                    point = np.array([x, centre_y + b * math.cos(angle), bend[2] - fall * s * max(share, 0) ** 1.1])
                    walked += float(np.linalg.norm(point - points[-1]))
                    points.append(point)
                for start, end in pairwise(points):
                    self._capsule(start, end, 4.2, 0.6 * plan.spongy_hu + 60)

    def _metal(self, frames: list[Frame]) -> None:
        s = self.plan.scale
        for side in (-1, 1):
            for frame in frames[1:3]:
                tip, head = frame.at(side * 8 * s, 8 * s, 4 * s), frame.at(side * 17 * s, -38 * s, 4 * s)
                self._late.append(Capsule(tip, head, 3.0, 3000.0, 3000.0, 0.0))
            ends = [frame.at(side * 17 * s, -38 * s, 4 * s) for frame in frames[1:3]]
            self._late.append(Capsule(ends[0], ends[1], 3.0, 3000.0, 3000.0, 0.0))


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return vector / float(np.linalg.norm(vector))


def _point(value: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    return float(value[0]), float(value[1]), float(value[2])


def _extent(frame: Frame, height: float) -> tuple[float, float]:
    half = float(frame.up[2]) * height / 2
    return float(frame.centre[2]) - half, float(frame.centre[2]) + half
