"""The simulated scanner: anatomy, speckle, receive chain and screen combined."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.phantom.anatomy import Anatomy
from usassist.phantom.beam import BeamGrid
from usassist.phantom.config import FloatArray, PhantomConfig, as_float32, rng_of
from usassist.phantom.nodule import Nodule, Section, TissueMaps
from usassist.phantom.noise import ScattererField, white_pool
from usassist.phantom.planning import Pose, pose_at, sample_nodules
from usassist.phantom.render import Receiver
from usassist.phantom.screen import ScreenPainter, draw_calipers, scan_box
from usassist.phantom.speckle import PointSpread
from usassist.phantom.truth import NoduleTruth, PhantomFrame, PhantomScan

__all__ = ["PhantomScanner"]

UInt8Array = npt.NDArray[np.uint8]
_MARGIN = 28


class PhantomScanner:
    """A scanner of a simulated neck. The same config and time always give the same pixels.

    Parameters
    ----------
    config : the defaults give a right lobe with nodules from the shape prior

    Attributes
    ----------
    config : as given
    nodules : the nodules in the body, by identity from 1
    image_hw_px : height and width of the scan image
    spacing_rc_mm : mm per px, rows then columns
    scan_xyxy_px : position of the scan image on the screen
    """

    def __init__(self, config: PhantomConfig | None = None) -> None:
        self.config = config = config or PhantomConfig()
        x1, y1, x2, y2 = scan_box(config)
        box_hw_px = (y2 - y1, x2 - x1)
        if config.scan_hw_px is not None:
            box_hw_px = config.scan_hw_px
        self._grid = grid = BeamGrid(config, box_hw_px)
        self.image_hw_px = grid.image_hw_px
        self.spacing_rc_mm = (grid.mm_per_px, grid.mm_per_px)
        self._anatomy = Anatomy(config, grid.extent_xzxz_mm)
        plans = config.nodules if config.nodules is not None else sample_nodules(config, self._anatomy)
        self._anatomy.make_room(plans)
        self.nodules = tuple(Nodule(plan, identity, config.seed) for identity, plan in enumerate(plans, start=1))
        self._scatterers = ScattererField(config.seed, (grid.rows, grid.lines), _MARGIN)
        self._spread = PointSpread(grid, config)
        self._receiver = Receiver(grid, config)
        self._half_x, self._half_z = (
            as_float32(cv2.resize(v, (grid.lines // 2, grid.rows // 2), interpolation=cv2.INTER_AREA))
            for v in (grid.x_mm, grid.z_mm)
        )
        self._painter: ScreenPainter | None = None
        if config.scan_hw_px is None or (box_hw_px[0] <= y2 - y1 and box_hw_px[1] <= x2 - x1):
            self._painter = ScreenPainter(config, grid.image_hw_px, grid.mm_per_px, grid.extent_xzxz_mm[1])

    @property
    def scan_xyxy_px(self) -> tuple[int, int, int, int]:
        """Position of the scan image on the screen."""
        return self._screen().scan_xyxy_px

    def render(self, t_s: float) -> PhantomFrame:
        """Render the whole screen at time `t_s`.

        Raises
        ------
        UsageError
            If ``scan_hw_px`` of the config does not fit on the screen.
        """
        painter = self._screen()
        scan = self.render_scan(t_s)
        return PhantomFrame(
            screen=painter.paint(scan.scan, t_s),
            scan_xyxy_px=painter.scan_xyxy_px,
            labelmap=scan.labelmap,
            nodules=scan.nodules,
            spacing_rc_mm=scan.spacing_rc_mm,
            t_s=t_s,
        )

    def render_scan(self, t_s: float) -> PhantomScan:
        """Render the scan image and its ground truth at time `t_s`, without the screen around it."""
        if not math.isfinite(t_s):
            raise UsageError(f"phantom: the time of a frame must be a finite number of seconds, got {t_s}; correct it")
        pose = self._pose(t_s)
        scan = self._receiver.to_image(self._envelope(pose, round(t_s * 1e6)))
        labelmap, nodules, sections = self._truth(pose)
        if self.config.calipers:
            self._burn_calipers(scan, sections, pose)
        scan.flags.writeable = False
        labelmap.flags.writeable = False
        return PhantomScan(scan=scan, labelmap=labelmap, nodules=nodules, spacing_rc_mm=self.spacing_rc_mm, t_s=t_s)

    def crossing_s(self, identity: int) -> float:
        """Time within the first sweep at which the plane is closest to the middle of a nodule, s.

        For training: most frames at random times show no nodule.

        Raises
        ------
        UsageError
            If there is no nodule of that identity.
        """
        if not 1 <= identity <= len(self.nodules):
            raise UsageError(f"phantom: there is no nodule {identity}; choose one from 1 to {len(self.nodules)}")
        middle_mm = self.nodules[identity - 1].plan.center_xze_mm[2]
        times = np.linspace(0.0, self.config.sweep_s, 257)
        return float(min(times, key=lambda t_s: abs(pose_at(self.config, float(t_s)).e_mm - middle_mm)))

    def _screen(self) -> ScreenPainter:
        if self._painter is None:
            raise UsageError(
                f"phantom: a scan image of {self.config.scan_hw_px} does not fit on a screen of "
                f"{self.config.screen_hw_px} with layout {self.config.layout}; make scan_hw_px smaller"
            )
        return self._painter

    def _pose(self, t_s: float) -> Pose:
        pose = pose_at(self.config, t_s)
        if self._grid.kind != "linear":  # shifting by whole beams works on parallel beams only
            return Pose(e_mm=pose.e_mm, shift_xz_mm=(0.0, 0.0), pulse=pose.pulse)
        return pose

    def _shift(self, pose: Pose) -> tuple[tuple[int, int], tuple[float, float]]:
        """Movement of the body on the grid: whole samples (row, column), and the remaining fractions."""
        row = pose.shift_xz_mm[1] / self._grid.range_step_mm
        column = pose.shift_xz_mm[0] / float(self._grid.line_step_mm[0])
        whole = (math.floor(row), math.floor(column))
        return whole, (row - whole[0], column - whole[1])

    def _tissue(self, pose: Pose) -> tuple[TissueMaps, FloatArray]:
        """Tissue of one plane at the scatterers' positions, with the nodules; and the reverberation."""
        grid = self._grid
        whole, rest = self._shift(pose)
        moved_x = np.float32(whole[1] * float(grid.line_step_mm[0]))
        moved_z = np.float32(whole[0] * grid.range_step_mm)
        probe_z = self._half_z + np.float32(rest[0] * grid.range_step_mm)
        coarse, reverberation = self._anatomy.maps(
            self._half_x - moved_x, self._half_z - moved_z, probe_z, pose.e_mm, pose.pulse, self.nodules
        )
        size = (grid.lines, grid.rows)
        echo_db, alpha, mirror, reverberation = (
            as_float32(cv2.resize(as_float32(v), size, interpolation=cv2.INTER_LINEAR))
            for v in (coarse.echo_db, coarse.alpha, coarse.mirror, reverberation)
        )
        maps = TissueMaps(echo_db=echo_db, alpha=alpha, mirror=mirror)
        body_x, body_z = grid.x_mm - moved_x, grid.z_mm - moved_z
        for nodule in self.nodules:
            nodule.paint(maps, body_x, body_z, pose.e_mm, self._anatomy.texture)
        return maps, reverberation

    def _envelope(self, pose: Pose, key: int) -> FloatArray:
        """Received amplitude in beam coordinates, float32 (rows, lines).

        The scatterers are on a grid that moves with the body: by whole samples through cropping another part of the
        field, by the rest through shifting the point-spread function, so that speckle moves with the tissue and does
        not flicker.
        """
        whole, rest = self._shift(pose)
        amplitude, mirror = self._receiver.attenuate(*self._tissue(pose))
        noise = self._receiver.noise(_noise_pool(), key)
        return self._spread.envelope(self._scatterers.at(pose.e_mm, whole), amplitude, mirror, noise, rest)

    def _truth(self, pose: Pose) -> tuple[UInt8Array, tuple[NoduleTruth, ...], list[Section]]:
        grid = self._grid
        labelmap = np.zeros(grid.image_hw_px, np.uint8)
        x, z = grid.pixel_x_mm - pose.shift_xz_mm[0], grid.pixel_z_mm - pose.shift_xz_mm[1]
        found: list[tuple[Nodule, Section, float]] = []
        for nodule in self.nodules:
            section = nodule.section(pose.e_mm)
            if section is None:
                continue
            low, high = section.outline_xz_mm.min(axis=0), section.outline_xz_mm.max(axis=0)
            columns = np.flatnonzero((x > low[0] - 0.3) & (x < high[0] + 0.3))
            rows = np.flatnonzero((z > low[1] - 0.3) & (z < high[1] + 0.3))
            if not rows.size or not columns.size:
                continue
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            d, _ = nodule.level(x[None, box[1]], z[box[0], None], pose.e_mm)
            mask = d < 0
            mask &= grid.inside[box]
            labelmap[box][mask] = nodule.identity
            found.append((nodule, section, float(np.count_nonzero(mask)) * grid.mm_per_px**2))
        nodules, sections = [], []
        for nodule, section, shown_mm2 in found:
            ys, xs = np.nonzero(labelmap == nodule.identity)
            if not ys.size:
                continue
            cropped = shown_mm2 < 0.97 * section.area_mm2 - 4.0 * grid.mm_per_px * math.sqrt(section.area_mm2)
            at_edge = (
                bool(ys.min() == 0 or xs.min() == 0)
                or ys.max() == labelmap.shape[0] - 1
                or xs.max() == labelmap.shape[1] - 1
            )
            nodules.append(
                NoduleTruth(
                    identity=nodule.identity,
                    kind=nodule.plan.kind,
                    xyxy_px=(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)),
                    major_mm=section.major_mm,
                    minor_mm=section.minor_mm,
                    area_mm2=section.area_mm2,
                    axes_xze_mm=nodule.plan.axes_xze_mm,
                    cropped=bool(cropped or at_edge),
                )
            )
            sections.append(section)
        return labelmap, tuple(nodules), sections

    def _burn_calipers(self, scan: UInt8Array, sections: list[Section], pose: Pose) -> None:
        """Draw marks close to the ends of the diameters of one nodule, or at random positions if there is none."""
        rng = rng_of(self.config.seed, 0xCA1)
        origin = np.array([self._grid.pixel_x_mm[0] - 0.5 * self._grid.mm_per_px, self._grid.pixel_z_mm[0]])
        origin[1] -= 0.5 * self._grid.mm_per_px
        if sections and rng.random() < 0.8:
            section = max(sections, key=lambda s: s.area_mm2)
            ends = section.ends_xz_mm
            along = (ends[0] - ends[1]) / section.major_mm
            side = (section.outline_xz_mm @ np.array([-along[1], along[0]])).astype(np.float64)
            points = np.concatenate([ends, section.outline_xz_mm[[int(side.argmin()), int(side.argmax())]]])
            points = (points + np.array(pose.shift_xz_mm) - origin) / self._grid.mm_per_px
        else:
            points = rng.uniform(0.2, 0.8, (2, 2)) * np.array(self.image_hw_px[::-1])
        points = points + rng.normal(0.0, 0.005 * scan.shape[0], points.shape)
        draw_calipers(scan, points, int(rng.integers(3)))


@lru_cache(maxsize=1)
def _noise_pool() -> FloatArray:
    """White noise after the receive filter, unit power, float32 (1536, 1536, 2)."""
    pool = as_float32(cv2.GaussianBlur(white_pool(), (0, 0), sigmaX=0.6, sigmaY=1.0))
    return as_float32(pool / np.sqrt(np.mean(pool**2) * 2.0))
