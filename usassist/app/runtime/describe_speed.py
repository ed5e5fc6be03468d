"""This processor, and the order in which ``auto`` takes back ends on it, in one line each."""

from __future__ import annotations

from usassist.common.processor import Processor, read_processor
from usassist.engine.speed import Speeds

__all__ = ["describe_processor", "describe_speeds"]

# What matters to the runtimes, best first: name in the kernel, usual name.
_WIDTHS = (("avx512bw", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("sve", "SVE"), ("asimd", "NEON"))
_DOTS = ("avx512_vnni", "avx_vnni", "asimddp")


def describe_processor(processor: Processor | None = None) -> str:
    """Kind of processor, and the instruction sets that the environment disables."""
    processor = processor or read_processor()
    width = next((name for feature, name in _WIDTHS if feature in processor.features), None)
    dots = "8-bit dot products" if any(feature in processor.features for feature in _DOTS) else "no 8-bit dot products"
    text = f"{processor.name} with {width}, {dots}" if width else processor.name
    return f"{text}; limited by {', '.join(processor.limits)}" if processor.limits else text


def describe_speeds(speeds: Speeds) -> str:
    """What was measured: back ends that answer correctly, the fastest first, then those that are skipped and why."""
    correct = [
        f"{row.backend} {row.precision} {row.p50_ms:.1f} ms"
        for row in speeds.rows
        if row.rejected is None and row.p50_ms is not None
    ]
    rejected = [f"{row.backend} {row.precision} is skipped: {row.rejected}" for row in speeds.rows if row.rejected]
    kept = "" if speeds.steady else "; not kept, this machine is busy: close other programs and measure again"
    threads = f"{speeds.threads} thread{'' if speeds.threads == 1 else 's'}"
    order = ", ".join(correct) or "nothing answers correctly"
    return "; ".join([f"{order}, on {threads}, measured {speeds.measured[:10]}{kept}", *rejected])
