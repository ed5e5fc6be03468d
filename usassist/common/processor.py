"""The processor that this runs on: its name, its instruction sets, and which of them the environment disables.

Two processors of one kind round alike, so that the same program gives the same bits on both; two kinds need not.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FEATURES", "LIMITS", "Processor", "read_processor"]

# Flags by which runtimes select their kernels, as Linux names them: x86, then 64-bit ARM.
FEATURES = (
    "avx",
    "fma",
    "avx2",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "avx_vnni_int8",
    "avx_ne_convert",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "amx_fp16",
    "asimd",
    "asimddp",
    "asimdhp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
)

# Environment variables that limit the instruction sets of oneDNN (in OpenVINO and PyTorch), NumPy and OpenCV.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES", "OPENCV_CPU_DISABLE")

_CPUINFO = Path("/proc/cpuinfo")
_BELOW_VNNI = {"AVX512_CORE": ("avx2", "avx"), "AVX2": ("avx2", "avx"), "AVX": ("avx",), "SSE41": ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """A kind of processor.

    Attributes
    ----------
    vendor, name : as the system names them: ``AuthenticAMD``, ``AMD EPYC``; virtual machines often leave out the model
    generation : distinguishes processors of one name, ``family 25 model 1``; empty where the system does not give it
    features : those of :data:`FEATURES` that all cores have, in that order
    limits : ``NAME=VALUE`` of those of :data:`LIMITS` that are set, in that order
    count : of cores that the system runs on; not part of the kind, because results do not depend on it
    """

    vendor: str
    name: str
    generation: str
    features: tuple[str, ...]
    limits: tuple[str, ...]
    count: int = 1

    @property
    def kind(self) -> str:
        """What INT8 runs on: ``vnni`` (a dot product of four bytes is one instruction), ``avx2``, ``avx`` or ``other``.

        Limits are respected: a runtime that is limited to AVX2 does not use VNNI.
        """
        limit_isa = next((limit.partition("=")[2].upper() for limit in self.limits if "MAX_CPU_ISA" in limit), "")
        if limit_isa in _BELOW_VNNI:
            return next((name for name in _BELOW_VNNI[limit_isa] if name in self.features), "other")
        vnni = any(feature in self.features for feature in ("avx512_vnni", "avx_vnni", "amx_int8"))
        return "vnni" if vnni else next((name for name in _BELOW_VNNI["AVX2"] if name in self.features), "other")


def read_processor(cpuinfo: Path = _CPUINFO, environment: Mapping[str, str] = os.environ) -> Processor:
    """Read the processor of this machine from the kernel.

    Parameters
    ----------
    cpuinfo : ``/proc/cpuinfo`` of Linux; where it cannot be read, features are unknown and left empty
    environment : where :data:`LIMITS` are looked up
    """
    limits = tuple(f"{name}={environment[name]}" for name in LIMITS if environment.get(name))
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    cores = [core for block in text.split("\n\n") if "processor" in (core := _fields(block))]
    if not cores:
        name = platform.processor() or platform.machine() or "unknown"
        count = os.cpu_count() or 1
        return Processor(vendor="unknown", name=name, generation="", features=(), limits=limits, count=count)
    first = cores[0]
    common = set.intersection(*(set((core.get("flags") or core.get("Features") or "").split()) for core in cores))
    parts = {"cpu family": "family", "model": "model", "CPU architecture": "architecture", "CPU part": "part"}
    return Processor(
        vendor=first.get("vendor_id") or first.get("CPU implementer") or "unknown",
        name=first.get("model name") or platform.machine() or "unknown",
        generation=" ".join(f"{word} {first[key]}" for key, word in parts.items() if first.get(key)),
        features=tuple(name for name in FEATURES if name in common),
        limits=limits,
        count=len(cores),
    )


def _fields(block: str) -> dict[str, str]:
    """Key → value of one block of the kernel's text."""
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
