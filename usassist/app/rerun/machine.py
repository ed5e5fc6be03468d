"""Whether a recording and its rerun must agree to the last bit.

They must where the kind of processor, the numerical libraries and the files of the engine are the same. Other kinds of
processor add in another order, so the tolerances of the engine's parity apply between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usassist.session import Manifest

__all__ = ["describe_processor", "same_kind_of_processor", "why_within_tolerances"]

# Another version of one of these may round differently.
_NUMERICAL = ("numpy", "opencv", "onnxruntime", "openvino", "torch", "tensorrt")


def same_kind_of_processor(recorded: Manifest, again: Manifest) -> bool:
    """Whether both ran on the same kind of processor, under the same limits; the number of cores does not matter.

    False where one does not record it: before version 2.1 a recording has no features of the processor.
    """
    before, after = recorded.machine, again.machine
    known = "cpu_features" in before and "cpu_features" in after
    return known and _name(before) == _name(after) and all(before.get(key) == after.get(key) for key in _KIND)


def describe_processor(manifest: Manifest) -> str:
    """The kind of processor in one line: ``AMD EPYC (family 25 model 1: avx, fma, avx2)``."""
    machine = manifest.machine
    features = machine.get("cpu_features")
    if features is None:
        return f"{_name(machine) or 'a processor without a name'} (its features are not recorded)"
    parts = [str(machine.get("cpu_generation", "")), ", ".join(features) or "no features known"]
    limits = "".join(f", {limit}" for limit in machine.get("cpu_limits", ()))
    return f"{_name(machine)} ({': '.join(filter(None, parts))}{limits})"


def why_within_tolerances(recorded: Manifest, again: Manifest) -> str:
    """Why even the same back end may give other bits; empty = it may not."""
    reasons = []
    if not same_kind_of_processor(recorded, again):
        reasons.append(f"recorded on {describe_processor(recorded)}, rerun on {describe_processor(again)}")
    reasons += [
        f"{name} {recorded.versions[name]} then, {again.versions[name]} now"
        for name in _NUMERICAL
        if name in recorded.versions and recorded.versions[name] != again.versions.get(name, recorded.versions[name])
    ]
    before, after = _answered_by(recorded), _answered_by(again)
    reasons += [
        f"another {name} of the engine" for name in sorted(before.keys() & after) if before[name] != after[name]
    ]
    return "; ".join(reasons)


_KIND = ("cpu_vendor", "cpu_generation", "cpu_features", "cpu_limits")


def _name(machine: Mapping[str, Any]) -> str:
    """Model of the processor, without the number of cores."""
    return str(machine.get("cpu", "")).split(" x ", 1)[-1]


def _answered_by(manifest: Manifest) -> dict[str, str]:
    """Files of the engine that results depend on → SHA-256; without ``engine.toml``, which computes nothing."""
    return {
        name: table.get("artifacts", {}).get(name, "")
        for table in manifest.engines
        for name in table.get("answered_by", ())
        if name != "engine.toml"
    }
