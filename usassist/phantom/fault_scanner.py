"""The simulated scanner with faults, frame by frame, without sockets or a clock of its own.

A sweep of a few seconds is rendered once and then played back and forth at little cost. At its ends the plane reverses
at more than half of its speed, so that no two consecutive frames are alike. Two kinds of noise are new in every frame:
that of the scanner in its image (depth-dependent, as measured on the phantom itself), which is static when the scanner
is frozen, and that of the grabber over the whole screen, which is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.phantom.config import PhantomConfig, rng_of
from usassist.phantom.fault_screen import (
    ScreenLayout,
    draw_colour_box,
    draw_menu,
    draw_no_signal,
    make_dual_layout,
    make_layout,
    make_snow,
    make_zoom_layout,
    tear,
)
from usassist.phantom.faults import Fault, FaultPlan
from usassist.phantom.sweep import Progress, render_sweeps

__all__ = ["FaultFrame", "FaultScanner"]

UInt8Array = npt.NDArray[np.uint8]

_SWEEP_MM, _LOOP_S = (-12.0, 12.0), 4.0
_SPARE_PX = 200_000  # pixels of grabber noise beyond those of a screen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultFrame:
    """The scanner's output at one frame period.

    Attributes
    ----------
    number : of the frame period, from 0
    t_s : time since the start
    screen : uint8 (H, W, 3), RGB, read-only; None when no frame is sent
    active : indices in the plan of the active faults
    scan_xyxy_px : position of the ultrasound image on the screen; None when it is not visible
    corrupt_share : share of the packets that is to be damaged in transit
    closed : connections are to be closed
    """

    number: int
    t_s: float
    screen: UInt8Array | None
    active: tuple[int, ...]
    scan_xyxy_px: tuple[int, int, int, int] | None
    corrupt_share: float = 0.0
    closed: bool = False


class FaultScanner:
    """A scanner whose faults follow a plan. The same arguments and frame number always give the same pixels.

    Parameters
    ----------
    plan : the faults and their times
    config : of the scanner; None = one with the given `seed`, `rate_hz` and `screen_hw_px`
    seed, rate_hz, screen_hw_px : for a scanner without `config`
    loop_s : length of the rendered sweep, s
    progress : called during rendering with the number of frames done and of all frames

    Attributes
    ----------
    plan : as given
    config : of the scanner
    scan_xyxy_px : position of the ultrasound image without faults
    """

    def __init__(
        self,
        plan: FaultPlan,
        *,
        config: PhantomConfig | None = None,
        seed: int = 1,
        rate_hz: float = 30.0,
        screen_hw_px: tuple[int, int] = (720, 1280),
        loop_s: float = _LOOP_S,
        progress: Progress | None = None,
    ) -> None:
        if not 0.2 <= loop_s <= 60.0:
            raise UsageError(f"fault scanner: a loop of {loop_s:g} s is out of range; take 0.2 to 60 s")
        if config is None:
            config = PhantomConfig(
                seed=seed,
                rate_hz=rate_hz,
                screen_hw_px=screen_hw_px,
                nodule_count=3,
                sweep_mm=_SWEEP_MM,
                sweep_s=loop_s,
            )
        if config.screen_hw_px[0] % 2 or config.screen_hw_px[1] % 2:
            raise UsageError(f"fault scanner: a screen of {config.screen_hw_px} px is odd; video needs even sizes")
        self.plan, self.config = plan, config
        self._numbers = [fault.numbers(config.rate_hz) for fault in plan.faults]
        depths_mm = sorted({fault.settings["depth_mm"] for fault in plan.faults if fault.kind == "depth"})
        self._sweeps = render_sweeps(config, depths_mm, loop_s, progress)
        self._normal = make_layout(config)
        self.scan_xyxy_px = self._normal.box_xyxy_px
        self._layouts = {i: self._make_layout(fault) for i, fault in enumerate(plan.faults) if fault.group == "layout"}
        sizes = [config.screen_hw_px, *(f.settings["size_hw_px"] for f in plan.faults if f.kind == "resolution")]
        grey = rng_of(config.seed, 0x96AB).integers(
            0, 3, max(height * width for height, width in sizes) + _SPARE_PX, dtype=np.uint8
        )
        self._grabber_noise = np.repeat(grey, 3)
        self._snow = make_snow(config.seed, config.screen_hw_px)

    def frames(self, seconds: float | None = None) -> Iterator[FaultFrame]:
        """All frame periods in order, without pacing; None = endless."""
        number = 0
        while seconds is None or number < seconds * self.config.rate_hz - 1e-6:
            yield self.at(number)
            number += 1

    def at(self, number: int) -> FaultFrame:
        """One frame period.

        Raises
        ------
        UsageError
            If `number` is negative.
        """
        if number < 0:
            raise UsageError(f"fault scanner: there is no frame {number}; the first is 0")
        by_kind = self._active_faults(number)
        share = self.plan.faults[by_kind["corrupt"]].settings["share"] if "corrupt" in by_kind else 0.0
        closed = "unplug" in by_kind and self.plan.faults[by_kind["unplug"]].settings["how"] == "closed"
        screen, box = self._screen(number, by_kind)
        if screen is not None:
            screen.flags.writeable = False
        return FaultFrame(
            number=number,
            t_s=number / self.config.rate_hz,
            screen=screen,
            active=tuple(sorted(by_kind.values())),
            scan_xyxy_px=box,
            corrupt_share=share,
            closed=closed,
        )

    def _screen(
        self, number: int, active: dict[str, int]
    ) -> tuple[UInt8Array | None, tuple[int, int, int, int] | None]:
        if "repeat" in active:
            number = self._frame_before(active["repeat"])
            active = self._active_faults(number)
            active.pop("repeat", None)  # a fault at frame 0 has no frame before it
        if "unplug" in active or self._is_skipped(number, active):
            return None, None
        t_s = number / self.config.rate_hz
        if "no_signal" in active:
            text = self.plan.faults[active["no_signal"]].settings["text"]
            return draw_no_signal(self.config.screen_hw_px, text), None
        shows = self.plan.faults[active["glitch"]].settings["shows"] if "glitch" in active else ""
        if "noise" in active or shows == "noise":
            return self._snow_at(number, self._size(active)), None
        if "black" in active or shows == "black":
            return self._add_grabber_noise(np.zeros((*self._size(active), 3), np.uint8), number), None
        layout, depth_mm = self._normal, self.config.depth_mm
        for kind in ("depth", "zoom", "layout", "dual", "resolution"):
            if kind in active:
                layout = self._layouts[active[kind]]
        if "depth" in active:
            depth_mm = self.plan.faults[active["depth"]].settings["depth_mm"]
        shown = self._image_number(number, active)
        scan = self._sweeps[depth_mm].at(max(shown - self._paused_frames(shown), 0), noise_key=shown)
        screen = layout.paint(scan, t_s)
        if "colour_box" in active:
            frozen = "freeze" in active
            seen_s = self._frame_before(active["freeze"]) / self.config.rate_hz if frozen else t_s
            draw_colour_box(screen, layout.box_xyxy_px, seen_s)
        if "menu" in active:
            draw_menu(screen, layout.box_xyxy_px)
        if shows == "torn":
            screen = tear(screen)
        silent = "freeze" in active and not self.plan.faults[active["freeze"]].settings["grabber_noise"]
        return (screen if silent else self._add_grabber_noise(screen, number)), layout.box_xyxy_px

    def _active_faults(self, number: int) -> dict[str, int]:
        """Kind → index in the plan, of the active faults."""
        return {self.plan.faults[i].kind: i for i, numbers in enumerate(self._numbers) if number in numbers}

    def _frame_before(self, place: int) -> int:
        """Number of the last frame before a fault."""
        return max(self._numbers[place].start - 1, 0)

    def _is_skipped(self, number: int, active: dict[str, int]) -> bool:
        if "frame_rate" not in active:
            return False
        fault = self.plan.faults[active["frame_rate"]]
        return fault.settings["how"] == "fewer" and self._newest_image(number, active["frame_rate"]) != number

    def _newest_image(self, number: int, place: int) -> int:
        """Number of the newest image at the lower frame rate of a fault."""
        per_frame = float(self.plan.faults[place].settings["rate_hz"]) / self.config.rate_hz
        if per_frame >= 1.0:
            return number
        first = self._numbers[place].start
        return first + math.ceil(math.floor((number - first) * per_frame + 1e-9) / per_frame - 1e-9)

    def _image_number(self, number: int, active: dict[str, int]) -> int:
        """Number of the frame whose ultrasound image is shown."""
        if "freeze" in active:
            number = self._frame_before(active["freeze"])
            active = self._active_faults(number)
        if "frame_rate" in active and self.plan.faults[active["frame_rate"]].settings["how"] == "repeated":
            number = self._newest_image(number, active["frame_rate"])
        return number

    def _paused_frames(self, number: int) -> int:
        """In how many frames up to this one the probe was paused: the sweep continues from where it stopped."""
        return sum(
            min(max(number - numbers.start + 1, 0), len(numbers))
            for fault, numbers in zip(self.plan.faults, self._numbers, strict=True)
            if fault.kind == "paused_probe"
        )

    def _add_grabber_noise(self, screen: UInt8Array, number: int) -> UInt8Array:
        """Add the grabber's noise: each pixel changes by -1, 0 or 1."""
        rows, size = screen.shape[0], screen.shape[1] * 3
        pool = self._grabber_noise
        spare_px = (pool.size - screen.size) // 3
        start = 3 * int(rng_of(self.config.seed, number, 0x96A).integers(spare_px))
        noisy = cv2.add(screen.reshape(rows, size), pool[start : start + screen.size].reshape(rows, size))
        return np.asarray(cv2.subtract(noisy, np.ones(1)), np.uint8).reshape(screen.shape)

    def _size(self, active: dict[str, int]) -> tuple[int, int]:
        """Height and width of the screen, px."""
        if "resolution" not in active:
            return self.config.screen_hw_px
        height, width = self.plan.faults[active["resolution"]].settings["size_hw_px"]
        return height, width

    def _snow_at(self, number: int, hw_px: tuple[int, int]) -> UInt8Array:
        rng = rng_of(self.config.seed, number, 0x5A1)
        height, width = self.config.screen_hw_px
        row, column = (int(v) for v in rng.integers(0, 64, 2))
        snow = self._snow[row : row + height, column : column + width]
        snow = np.ascontiguousarray(snow[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))])
        if snow.shape != hw_px:
            snow = np.asarray(cv2.resize(snow, hw_px[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
        return np.asarray(cv2.cvtColor(snow, cv2.COLOR_GRAY2RGB), np.uint8)

    def _make_layout(self, fault: Fault) -> ScreenLayout:
        config = self.config
        if fault.kind == "depth":
            return make_layout(replace(config, depth_mm=fault.settings["depth_mm"]))
        if fault.kind == "zoom":
            return make_zoom_layout(config, fault.settings["factor"])
        if fault.kind == "layout":
            return make_layout(replace(config, layout=fault.settings["layout"]))
        if fault.kind == "resolution":
            return make_layout(replace(config, screen_hw_px=tuple(fault.settings["size_hw_px"]), scan_hw_px=None))
        return make_dual_layout(config, self._sweeps[config.depth_mm].last)
