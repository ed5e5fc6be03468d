"""The simulated scanner with faults, screen by screen, without sockets and without a clock of its own.

A sweep of a few seconds is rendered once and then played there and back, which costs next to nothing. At its ends the
plane turns around at more than half of its speed, so that no two frames there are alike. Two kinds of noise are fresh
in every frame: that of the scanner in its picture (with the depth, as measured on the phantom itself), which stands
still when the scanner is frozen, and that of the grabber over the whole screen, which does not.
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
    Look,
    draw_colour_box,
    draw_menu,
    dual_look,
    no_signal,
    plain_look,
    snow_pool,
    torn,
    zoom_look,
)
from usassist.phantom.faults import Fault, FaultPlan
from usassist.phantom.sweep import Progress, render_sweeps

__all__ = ["FaultFrame", "FaultScanner"]

UInt8Array = npt.NDArray[np.uint8]

_SWEEP_MM, _LOOP_S = (-12.0, 12.0), 4.0
_SPARE_PX = 200_000  # how much more grabber noise there is than a screen has pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultFrame:
    """What the scanner gives at one tick.

    Attributes
    ----------
    number : from 0, one more for each tick
    t_s : its time from the beginning
    screen : uint8 (H, W, 3), RGB, read-only; None when nothing is sent at this tick
    active : places in the plan of the faults that are going on
    scan_xyxy_px : where the ultrasound picture lies on the screen; None when it is not to be seen
    corrupt_share : share of the packets that is to be damaged on the way
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
    plan : what goes wrong and when
    config : the scanner; None takes one of the given `seed`, `rate_hz` and `screen_hw_px`
    seed, rate_hz, screen_hw_px : for a scanner without `config`
    loop_s : length of the sweep that is rendered, s
    progress : called while it is rendered, with the frames done and the frames in all

    Attributes
    ----------
    plan : as given
    config : of the scanner
    scan_xyxy_px : where the ultrasound picture lies while nothing is wrong
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
            raise UsageError(f"fault scanner: a screen of {config.screen_hw_px} px is odd; video wants even sizes")
        self.plan, self.config = plan, config
        self._numbers = [fault.numbers(config.rate_hz) for fault in plan.faults]
        depths_mm = sorted({fault.settings["depth_mm"] for fault in plan.faults if fault.kind == "depth"})
        self._sweeps = render_sweeps(config, depths_mm, loop_s, progress)
        self._plain = plain_look(config)
        self.scan_xyxy_px = self._plain.box_xyxy_px
        self._looks = {i: self._look(fault) for i, fault in enumerate(plan.faults) if fault.group == "look"}
        sizes = [config.screen_hw_px, *(f.settings["size_hw_px"] for f in plan.faults if f.kind == "resolution")]
        grey = rng_of(config.seed, 0x96AB).integers(
            0, 3, max(height * width for height, width in sizes) + _SPARE_PX, dtype=np.uint8
        )
        self._grabber_noise = np.repeat(grey, 3)
        self._snow = snow_pool(config.seed, config.screen_hw_px)

    def frames(self, seconds: float | None = None) -> Iterator[FaultFrame]:
        """All ticks in order, as fast as they are taken; None = for ever."""
        number = 0
        while seconds is None or number < seconds * self.config.rate_hz - 1e-6:
            yield self.at(number)
            number += 1

    def at(self, number: int) -> FaultFrame:
        """One tick.

        Raises
        ------
        UsageError
            If `number` is negative.
        """
        if number < 0:
            raise UsageError(f"fault scanner: there is no frame {number}; the first is 0")
        going_on = self._going_on(number)
        active = tuple(sorted(going_on.values()))
        share = self.plan.faults[going_on["corrupt"]].settings["share"] if "corrupt" in going_on else 0.0
        closed = "unplug" in going_on and self.plan.faults[going_on["unplug"]].settings["how"] == "closed"
        screen, box = self._screen(number, going_on)
        if screen is not None:
            screen.flags.writeable = False
        return FaultFrame(
            number=number,
            t_s=number / self.config.rate_hz,
            screen=screen,
            active=active,
            scan_xyxy_px=box,
            corrupt_share=share,
            closed=closed,
        )

    def _screen(
        self, number: int, going_on: dict[str, int]
    ) -> tuple[UInt8Array | None, tuple[int, int, int, int] | None]:
        if "repeat" in going_on:
            number = self._before(going_on["repeat"])
            going_on = self._going_on(number)
            going_on.pop("repeat", None)  # when it begins with frame 0 there is none before it
        if "unplug" in going_on or self._is_left_out(number, going_on):
            return None, None
        t_s = number / self.config.rate_hz
        if "no_signal" in going_on:
            text = self.plan.faults[going_on["no_signal"]].settings["text"]
            return no_signal(self.config.screen_hw_px, text), None
        shows = self.plan.faults[going_on["glitch"]].settings["shows"] if "glitch" in going_on else ""
        if "noise" in going_on or shows == "noise":
            return self._snow_at(number, self._size(going_on)), None
        if "black" in going_on or shows == "black":
            return self._grabbed(np.zeros((*self._size(going_on), 3), np.uint8), number), None
        look, depth_mm = self._plain, self.config.depth_mm
        for kind in ("depth", "zoom", "layout", "dual", "resolution"):
            if kind in going_on:
                look = self._looks[going_on[kind]]
        if "depth" in going_on:
            depth_mm = self.plan.faults[going_on["depth"]].settings["depth_mm"]
        shown = self._picture_number(number, going_on)
        scan = self._sweeps[depth_mm].at(max(shown - self._still(shown), 0), noise_key=shown)
        screen = look.paint(scan, t_s)
        if "colour_box" in going_on:
            frozen = "freeze" in going_on
            seen_s = self._before(going_on["freeze"]) / self.config.rate_hz if frozen else t_s
            draw_colour_box(screen, look.box_xyxy_px, seen_s)
        if "menu" in going_on:
            draw_menu(screen, look.box_xyxy_px)
        if shows == "torn":
            screen = torn(screen)
        silent = "freeze" in going_on and not self.plan.faults[going_on["freeze"]].settings["grabber_noise"]
        return (screen if silent else self._grabbed(screen, number)), look.box_xyxy_px

    def _going_on(self, number: int) -> dict[str, int]:
        """Kind → place in the plan, of what is going on."""
        return {self.plan.faults[i].kind: i for i, numbers in enumerate(self._numbers) if number in numbers}

    def _before(self, place: int) -> int:
        """Number of the last frame before a fault."""
        return max(self._numbers[place].start - 1, 0)

    def _is_left_out(self, number: int, going_on: dict[str, int]) -> bool:
        if "frame_rate" not in going_on:
            return False
        fault = self.plan.faults[going_on["frame_rate"]]
        return fault.settings["how"] == "fewer" and self._newest(number, going_on["frame_rate"]) != number

    def _newest(self, number: int, place: int) -> int:
        """Number of the newest picture when only so many are made in a second."""
        per_frame = float(self.plan.faults[place].settings["rate_hz"]) / self.config.rate_hz
        if per_frame >= 1.0:
            return number
        first = self._numbers[place].start
        return first + math.ceil(math.floor((number - first) * per_frame + 1e-9) / per_frame - 1e-9)

    def _picture_number(self, number: int, going_on: dict[str, int]) -> int:
        """Number of the frame whose ultrasound picture is shown."""
        if "freeze" in going_on:
            number = self._before(going_on["freeze"])
            going_on = self._going_on(number)
        if "frame_rate" in going_on and self.plan.faults[going_on["frame_rate"]].settings["how"] == "repeated":
            number = self._newest(number, going_on["frame_rate"])
        return number

    def _still(self, number: int) -> int:
        """How many frames before this one, and this one, the probe has paused: the sweep goes on where it was."""
        return sum(
            min(max(number - numbers.start + 1, 0), len(numbers))
            for fault, numbers in zip(self.plan.faults, self._numbers, strict=True)
            if fault.kind == "paused_probe"
        )

    def _grabbed(self, screen: UInt8Array, number: int) -> UInt8Array:
        """With the grabber's noise: each pixel one up, one down or as it was."""
        rows, size = screen.shape[0], screen.shape[1] * 3
        pool = self._grabber_noise
        spare_px = (pool.size - screen.size) // 3
        start = 3 * int(rng_of(self.config.seed, number, 0x96A).integers(spare_px))
        noisy = cv2.add(screen.reshape(rows, size), pool[start : start + screen.size].reshape(rows, size))
        return np.asarray(cv2.subtract(noisy, np.ones(1)), np.uint8).reshape(screen.shape)

    def _size(self, going_on: dict[str, int]) -> tuple[int, int]:
        """Height and width of the screen, px."""
        if "resolution" not in going_on:
            return self.config.screen_hw_px
        height, width = self.plan.faults[going_on["resolution"]].settings["size_hw_px"]
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

    def _look(self, fault: Fault) -> Look:
        config = self.config
        if fault.kind == "depth":
            return plain_look(replace(config, depth_mm=fault.settings["depth_mm"]))
        if fault.kind == "zoom":
            return zoom_look(config, fault.settings["factor"])
        if fault.kind == "layout":
            return plain_look(replace(config, layout=fault.settings["layout"]))
        if fault.kind == "resolution":
            return plain_look(replace(config, screen_hw_px=tuple(fault.settings["size_hw_px"]), scan_hw_px=None))
        return dual_look(config, self._sweeps[config.depth_mm].last)
