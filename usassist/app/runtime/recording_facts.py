"""Facts of a recording: what describes the program and the machine that made it, and is in no message.

They hold no path and no free text: of a source only its kind, of a calibration its name and content.
"""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from usassist import __version__
from usassist.app.runtime.open_stream import StreamOptions
from usassist.calibrate import DEFAULT_POINT, ScoreCalibration, load_geometry, load_score_calibration
from usassist.common.processor import read_processor
from usassist.config import resource_dir
from usassist.engine import BACKENDS, EngineSpec, find_engine
from usassist.engine.registry import device_of
from usassist.sources.address import NUMBERS_ONLY

__all__ = ["recording_facts", "source_kind"]

_PACKAGES = {
    "numpy": "numpy",
    "opencv": "opencv-python",
    "av": "av",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "torch": "torch",
    "tensorrt": "tensorrt",
    "pyzmq": "pyzmq",
}
_KIND = re.compile(r"[a-z0-9_+-]+")


def recording_facts(options: StreamOptions) -> dict[str, Any]:
    """What ``sinks/manifest.py`` calls facts, for a stream with these options.

    Raises
    ------
    UsAssistError
        If the engine or a calibration is not there.
    """
    spec = find_engine(options.engine, Path(options.engines) if options.engines else None)
    scores = load_score_calibration(spec.engine_id, Path(options.score_folder) if options.score_folder else None)
    return {
        "configuration": _configuration(options, spec, scores is not None),
        "engine": {
            "engine_id": spec.engine_id,
            "artifacts": _artifacts(spec),
            "devices": {
                name: device_of(name) for name in dict.fromkeys((*BACKENDS, options.backend)) if name != "auto"
            },
        },
        "calibrations": _calibrations(options, scores),
        "versions": _versions(),
        "machine": _machine(),
    }


def source_kind(address: str) -> str:
    """Kind of a source without its path or address: ``clip``, ``udp``; of a simulated source with its numbers."""
    kind, colon, _ = address.partition(":")
    if not colon or not _KIND.fullmatch(kind):
        return "clip"
    return address if kind in NUMBERS_ONLY and "/" not in address else kind


def _configuration(options: StreamOptions, spec: EngineSpec, calibrated: bool) -> dict[str, Any]:
    return {
        "source": source_kind(options.source),
        "engine": spec.engine_id,
        "backend": options.backend,
        "precision": options.precision,
        "point": options.point if options.point != "auto" else DEFAULT_POINT if calibrated else None,
        "each_frame_alone": options.each_frame_alone,
        "threads": options.threads,
        "crop": options.crop,
        "deinterlace": options.deinterlace,
        "calibration": None if options.calibration is None else load_geometry(options.calibration).calibration_id,
        "scale": options.scale,
        "max_age_ms": options.max_age_ms,
        "realtime": not options.fast,
        "repeat": options.repeat,
        "count": options.count,
    }


def _artifacts(spec: EngineSpec) -> dict[str, str]:
    """SHA-256 of every file that results depend on; those of the weights are checked when they are opened."""
    sums = {name: digest for name, (_, digest) in spec.artifacts.items()}
    for name in ("engine.toml", "descriptors.toml"):
        path = spec.folder / name
        if path.is_file():
            sums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sums


def _calibrations(options: StreamOptions, scores: ScoreCalibration | None) -> list[dict[str, Any]]:
    found = []
    if options.calibration is not None:
        path = Path(options.calibration)
        if path.suffix != ".toml":
            path = resource_dir("calibration") / "geometry" / f"{options.calibration}.toml"
        found.append(_calibration("geometry", load_geometry(options.calibration).calibration_id, path))
    if scores is not None:
        folder = Path(options.score_folder) if options.score_folder else resource_dir("calibration") / "score"
        found += [
            _calibration("score", scores.calibration_id, path)
            for path in sorted(folder.glob("*.toml"))
            if f'"{scores.calibration_id}"' in path.read_text(encoding="utf-8")
        ]
    return found


def _calibration(kind: str, name: str, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        "calibration_id": name,
        "kind": kind,
        "sha256": hashlib.sha256(content).hexdigest(),
        "content": content.decode("utf-8"),
    }


def _versions() -> dict[str, str]:
    found = {"usassist": __version__, "python": platform.python_version()}
    commit = _git_commit()
    if commit:
        found["git"] = commit
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of the checkout, with a plus where files differ from it; None without a checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        changed = _git(
            root, "status", "--porcelain", "--untracked-files=no", "--", "usassist", "engines", "calibration"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changed.strip() else commit


def _git(root: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10.0).stdout


def _machine() -> dict[str, Any]:
    """Kernel and kind of processor; see ``Processor``."""
    processor = read_processor()
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "cpu": f"{processor.count} x {processor.name}",
        "cpu_vendor": processor.vendor,
        "cpu_generation": processor.generation,
        "cpu_features": list(processor.features),
        "cpu_limits": list(processor.limits),
    }
