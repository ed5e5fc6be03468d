"""Whether a recording and its rerun were computed alike, so that they have to agree to the last bit.

They have to where the kind of processor, the libraries that compute, and the files of the engine are the same. Between
kinds of processor sums are added in another order, so there the tolerances of the engine's parity hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usassist.session import Manifest

__all__ = ["processor_words", "same_kind_of_processor", "why_within_tolerances"]

# What rounds: another version of one of these may give other last bits.
_ROUNDS = ("numpy", "opencv", "onnxruntime", "openvino", "torch", "tensorrt")


def same_kind_of_processor(recorded: Manifest, again: Manifest) -> bool:
    """Whether both ran on the same kind of processor, under the same limits; how many cores there are is no part of it.

    False where one does not say it: recordings before version 2.1 name the processor and not what it can do.
    """
    before, after = recorded.machine, again.machine
    said = "cpu_features" in before and "cpu_features" in after
    return said and _name(before) == _name(after) and all(before.get(key) == after.get(key) for key in _KIND)


def processor_words(manifest: Manifest) -> str:
    """The kind of processor, as it is told: ``AMD EPYC (family 25 model 1: avx, fma, avx2)``."""
    machine = manifest.machine
    features = machine.get("cpu_features")
    if features is None:
        return f"{_name(machine) or 'a processor without a name'} (what it can do is not recorded)"
    parts = [str(machine.get("cpu_generation", "")), ", ".join(features) or "no features known"]
    limits = "".join(f", {limit}" for limit in machine.get("cpu_limits", ()))
    return f"{_name(machine)} ({': '.join(filter(None, parts))}{limits})"


def why_within_tolerances(recorded: Manifest, again: Manifest) -> str:
    """Why not even the same back end must give the same bits; empty = it must."""
    reasons = []
    if not same_kind_of_processor(recorded, again):
        reasons.append(f"recorded on {processor_words(recorded)}, run again on {processor_words(again)}")
    reasons += [
        f"{name} {recorded.versions[name]} then, {again.versions[name]} now"
        for name in _ROUNDS
        if name in recorded.versions and recorded.versions[name] != again.versions.get(name, recorded.versions[name])
    ]
    before, after = _answered_by(recorded), _answered_by(again)
    reasons += [
        f"another {name} of the engine" for name in sorted(before.keys() & after) if before[name] != after[name]
    ]
    return "; ".join(reasons)


_KIND = ("cpu_vendor", "cpu_generation", "cpu_features", "cpu_limits")


def _name(machine: Mapping[str, Any]) -> str:
    """Model of the processor, without how many there are."""
    return str(machine.get("cpu", "")).split(" x ", 1)[-1]


def _answered_by(manifest: Manifest) -> dict[str, str]:
    """File of the engine that answers rest on → its SHA-256; ``engine.toml`` describes, and computes nothing."""
    return {
        name: table.get("artifacts", {}).get(name, "")
        for table in manifest.engines
        for name in table.get("answered_by", ())
        if name != "engine.toml"
    }
