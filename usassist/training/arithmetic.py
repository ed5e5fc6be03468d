"""In which arithmetic a run trains: bfloat16 where that is faster on this processor, else float32.

Only processors with instructions for it (AVX512-BF16, AMX, SVE-BF16) are faster in bfloat16; PyTorch emulates it on the
others, several times slower than float32, and says nothing. The names of features do not tell what a virtual machine
or a library makes of them, so a short step of convolutions is timed in both.
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

__all__ = ["PRECISIONS", "Arithmetic", "StepTimes", "choose_arithmetic", "time_steps"]

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "bf16", "fp32")
_FASTER = 0.9  # bfloat16 rounds, so it is taken for a gain that can be felt alone
_SHAPE = (4, 32, 48, 72)  # images, channels, rows and columns: the network at stride 4, a quarter of a batch
_REPEATS = 5
_LONGEST_S = 2.0  # of all repeats together in one arithmetic
_FEATURES = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "svebf16")  # as /proc/cpuinfo names them


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """How long one step of convolutions takes, ms, the shortest of several."""

    fp32_ms: float
    bf16_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What a run trains in, and why.

    Attributes
    ----------
    used : ``bf16`` or ``fp32``
    wanted : the setting: ``auto``, ``bf16`` or ``fp32``
    times : what was measured; None where the setting left nothing to decide
    threads : of PyTorch
    features : those of the processor that speak of bfloat16
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
        """For the manifest of the run."""
        return {**asdict(self), "features": list(self.features)}


def choose_arithmetic(wanted: str, threads: int, measure: Callable[[], StepTimes] | None = None) -> Arithmetic:
    """Decide what to train in, and log it; a slower one that is asked for is taken with a warning.

    Parameters
    ----------
    wanted : ``auto``, ``bf16`` or ``fp32``
    threads : of PyTorch, which are set already
    measure : times a step in both; None = :func:`time_steps`

    Raises
    ------
    ConfigError
        If `wanted` is none of the three.
    """
    if wanted not in PRECISIONS:
        raise ConfigError(f"precision of training must be one of {', '.join(PRECISIONS)}, got {wanted!r}")
    times = None if wanted == "fp32" else (measure or time_steps)()
    used = wanted
    if times is not None:
        is_faster = times.bf16_ms < _FASTER * times.fp32_ms
        used = ("bf16" if is_faster else "fp32") if wanted == "auto" else wanted
        figures = f"a step of convolutions takes {times.bf16_ms:.1f} ms in bf16 and {times.fp32_ms:.1f} ms in fp32 here"
        if wanted == "bf16" and not is_faster:
            logger.warning("training in bf16 as asked for, which is not faster on this processor: %s", figures)
        else:
            logger.info("training in %s: %s", used, figures)
    return Arithmetic(used=used, wanted=wanted, times=times, threads=threads, features=_features())


def time_steps() -> StepTimes:
    """Time one step, forward and backward, of the kinds of convolution that the network is made of, in both."""
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
        return StepTimes(fp32_ms=_shortest_ms(net, image, bf16=False), bf16_ms=_shortest_ms(net, image, bf16=True))


def _shortest_ms(net: nn.Module, image: torch.Tensor, *, bf16: bool) -> float:
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
        if durations_s and ended_s - begun_s > _LONGEST_S:
            break
    return round(1000.0 * min(durations_s), 2)


def _features() -> tuple[str, ...]:
    """Those of the processor that speak of bfloat16, as Linux names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    flags = next(
        (line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))), []
    )
    return tuple(name for name in _FEATURES if name in flags)
