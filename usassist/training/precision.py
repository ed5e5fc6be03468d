"""The precision of training: bfloat16 if it is faster on this processor, else float32.

Only processors with instructions for it (AVX512-BF16, AMX, SVE-BF16) are faster in bfloat16; on the others PyTorch
silently emulates it, several times slower than float32. CPU flags do not show what a virtual machine or a library makes
of them, so a short step of convolutions is timed in both.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from usassist.errors import ConfigError

__all__ = ["PRECISIONS", "PrecisionChoice", "StepTimes", "choose_precision", "time_steps"]

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "bf16", "fp32")
_MAX_TIME_RATIO = 0.9  # bfloat16 rounds, so it must be clearly faster
_SHAPE = (4, 32, 48, 72)  # images, channels, rows and columns: the network at stride 4, a quarter of a batch
_REPEATS = 5
_MAX_TIMING_S = 2.0  # of all repeats together in one precision
_FEATURES = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "svebf16")  # as /proc/cpuinfo names them


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Duration of one step of convolutions, ms, the minimum of several."""

    fp32_ms: float
    bf16_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionChoice:
    """The precision of a run, and the reason for it.

    Attributes
    ----------
    used : ``bf16`` or ``fp32``
    wanted : the setting: ``auto``, ``bf16`` or ``fp32``
    times : measured; None if the setting is ``fp32``
    threads : of PyTorch
    features : CPU flags for bfloat16
    """

    used: str
    wanted: str
    times: StepTimes | None
    threads: int
    features: tuple[str, ...]

    @property
    def is_bf16(self) -> bool:
        """True for bfloat16."""
        return self.used == "bf16"

    def as_dict(self) -> dict[str, Any]:
        """As stored in the manifest of the run."""
        return {**asdict(self), "features": list(self.features)}


def choose_precision(wanted: str, threads: int, measure: Callable[[], StepTimes] | None = None) -> PrecisionChoice:
    """Choose the precision of training, and log it; a requested one that is slower is used with a warning.

    Parameters
    ----------
    wanted : ``auto``, ``bf16`` or ``fp32``
    threads : of PyTorch, already set
    measure : times a step in both; None = :func:`time_steps`

    Raises
    ------
    ConfigError
        If `wanted` is not one of the three.
    """
    if wanted not in PRECISIONS:
        raise ConfigError(f"precision of training must be one of {', '.join(PRECISIONS)}, got {wanted!r}")
    times = None if wanted == "fp32" else (measure or time_steps)()
    used = wanted
    if times is not None:
        is_faster = times.bf16_ms < _MAX_TIME_RATIO * times.fp32_ms
        used = ("bf16" if is_faster else "fp32") if wanted == "auto" else wanted
        figures = f"a step of convolutions takes {times.bf16_ms:.1f} ms in bf16 and {times.fp32_ms:.1f} ms in fp32 here"
        if wanted == "bf16" and not is_faster:
            logger.warning("training in bf16 as requested, which is not faster on this processor: %s", figures)
        else:
            logger.info("training in %s: %s", used, figures)
    return PrecisionChoice(used=used, wanted=wanted, times=times, threads=threads, features=_features())


def time_steps() -> StepTimes:
    """Time one step, forward and backward, of the kinds of convolution in the network, in both precisions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        count = _SHAPE[1]
        net = nn.Sequential(
            nn.Conv2d(count, 4 * count, 1),
            nn.Conv2d(4 * count, 4 * count, 3, padding=1, groups=4 * count),
            nn.Conv2d(4 * count, count, 1),
            nn.Conv2d(count, count, 3, padding=1),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = torch.randn(_SHAPE).contiguous(memory_format=torch.channels_last)
        return StepTimes(fp32_ms=_time_step_ms(net, image, bf16=False), bf16_ms=_time_step_ms(net, image, bf16=True))


def _time_step_ms(net: nn.Module, image: torch.Tensor, *, bf16: bool) -> float:
    durations_s: list[float] = []
    begun_s = time.perf_counter()
    for index in range(1 + _REPEATS):  # the first compiles
        started_s = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = net(image)
        net.zero_grad(set_to_none=True)
        out.float().square().mean().backward()
        ended_s = time.perf_counter()
        if index:
            durations_s.append(ended_s - started_s)
        if durations_s and ended_s - begun_s > _MAX_TIMING_S:
            break
    return round(1000.0 * min(durations_s), 2)


def _features() -> tuple[str, ...]:
    """CPU flags for bfloat16, as Linux names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    flags = next(
        (line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))), []
    )
    return tuple(name for name in _FEATURES if name in flags)
