"""What is told of this processor, and of the order in which ``auto`` takes back ends on it."""

from __future__ import annotations

from usassist.common.processor import Processor, read_processor
from usassist.engine.speed import Speeds

__all__ = ["processor_words", "speed_words"]

# What matters to the runtimes, the most first: as the kernel calls it, and as people do.
_WIDTHS = (("avx512bw", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("sve", "SVE"), ("asimd", "NEON"))
_DOTS = ("avx512_vnni", "avx_vnni", "asimddp")


def processor_words(processor: Processor | None = None) -> str:
    """The kind of processor in a few words, with what it was told not to use."""
    processor = processor or read_processor()
    width = next((name for feature, name in _WIDTHS if feature in processor.features), None)
    dots = "8-bit dot products" if any(feature in processor.features for feature in _DOTS) else "no 8-bit dot products"
    words = f"{processor.name} with {width}, {dots}" if width else processor.name
    return f"{words}; limited by {', '.join(processor.limits)}" if processor.limits else words


def speed_words(speeds: Speeds) -> str:
    """What was measured, in one line: the fastest that answers right first, then what is passed over and why."""
    right = [
        f"{row.backend} {row.precision} {row.p50_ms:.1f} ms"
        for row in speeds.rows
        if row.rejected is None and row.p50_ms is not None
    ]
    wrong = [f"{row.backend} {row.precision} is passed over: {row.rejected}" for row in speeds.rows if row.rejected]
    kept = "" if speeds.steady else "; not kept, this machine is busy: close other programs and measure again"
    threads = f"{speeds.threads} thread{'' if speeds.threads == 1 else 's'}"
    order = ", ".join(right) or "nothing answers right"
    return "; ".join([f"{order}, on {threads}, measured {speeds.measured[:10]}{kept}", *wrong])
