"""The contract: how long a frame may take, as ratios to the calibration of the same run.

The limits themselves are in ``bench/contract.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from usassist.app.bench.calibration import VERSION
from usassist.app.bench.live import LiveFigures
from usassist.app.bench.setup import Setup
from usassist.config import from_table, resource_dir
from usassist.errors import ConfigError

__all__ = ["Breach", "Limits", "breaches", "find_limits", "load_contract"]

_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One table of the contract.

    Attributes
    ----------
    fps, size, viewers, record, overlay : of the setup that it applies to
    processor : the kind that it applies to, see :attr:`usassist.common.processor.Processor.kind`
    total_p50, total_p99, overhead_p50 : ratios to the median of the calibration work
    without_own_percent : frames without an answer of their own, of all that were due
    dropped : frames a minute that were dropped because the engine was busy, or never taken
    """

    fps: int = 30
    size: str = "1280x720"
    viewers: int = 1
    record: bool = True
    overlay: bool = True
    processor: str = "vnni"
    total_p50: float = 0.0
    total_p99: float = 0.0
    overhead_p50: float = 0.0
    without_own_percent: float = 0.0
    dropped: float = 0.0

    def __post_init__(self) -> None:
        """Check that there are limits."""
        for field in fields(self):
            if field.name.endswith(("p50", "p99")) and getattr(self, field.name) <= 0:
                raise ConfigError(f"contract: {field.name} must be above 0; derive it anew")

    def holds_for(self, setup: Setup, processor: str) -> bool:
        """True when it is about such a setup on such a processor, with the engine and the clip that ship."""
        plain = Setup()
        shipped = (plain.engine, plain.backend, plain.precision, plain.threads, plain.faults_s, plain.clip)
        return (
            (self.fps, self.size, self.viewers, self.record, self.overlay)
            == (setup.fps, f"{setup.width_px}x{setup.height_px}", setup.viewers, setup.record, setup.overlay)
            and processor == self.processor
            and not setup.stalled
            and shipped == (setup.engine, setup.backend, setup.precision, setup.threads, setup.faults_s, setup.clip)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One limit and what was measured; ``broken`` when it is beyond."""

    name: str
    measured: float
    limit: float

    @property
    def broken(self) -> bool:
        """True when the limit does not hold."""
        return self.measured > self.limit


def load_contract(path: Path | None = None) -> dict[str, Limits]:
    """Read the contract; name of a table → its limits.

    Raises
    ------
    ConfigError
        If it cannot be read, has an unknown key, or was derived with another version of the calibration work.
    """
    path = resource_dir("bench") / "contract.toml" if path is None else path
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the contract {path.name} cannot be read: {error}; install usassist again") from error
    for key, wanted in (("schema", _SCHEMA), ("calibration", VERSION)):
        if (found := document.pop(key, None)) != wanted:
            raise ConfigError(f"the contract {path.name} has {key} {found}, this usassist has {wanted}; derive it anew")
    return {name: from_table(Limits, table, where=f"contract, table {name}") for name, table in document.items()}


def find_limits(contract: dict[str, Limits], setup: Setup, processor: str) -> tuple[str, Limits] | None:
    """The table for a setup on a kind of processor; None where there is none."""
    return next(((name, limits) for name, limits in contract.items() if limits.holds_for(setup, processor)), None)


def breaches(figures: LiveFigures, limits: Limits) -> list[Breach]:
    """Every limit with the measured value, kept or broken."""
    unit_ms = figures.calibration_ms
    stages, accounts = figures.stages, figures.accounts
    dropped = accounts.by_cause.get("dropped", 0) + accounts.not_taken
    return [
        Breach(name="total_p50", measured=stages["total"]["p50_ms"] / unit_ms, limit=limits.total_p50),
        Breach(name="total_p99", measured=stages["total"]["p99_ms"] / unit_ms, limit=limits.total_p99),
        Breach(name="overhead_p50", measured=stages["overhead"]["p50_ms"] / unit_ms, limit=limits.overhead_p50),
        Breach(name="without_own_percent", measured=accounts.without_own_percent, limit=limits.without_own_percent),
        Breach(name="dropped", measured=60.0 * dropped / max(1e-9, figures.seconds), limit=limits.dropped),
        Breach(name="unaccounted", measured=float(accounts.unaccounted), limit=0.0),
    ]
