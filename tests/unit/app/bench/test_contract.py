from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from usassist.app.bench.calibration import VERSION, Calibration, calibrate, calibration_work
from usassist.app.bench.contract import breaches, find_limits, load_contract
from usassist.app.bench.figures import Accounts
from usassist.app.bench.live import LiveFigures
from usassist.app.bench.setup import Setup
from usassist.errors import ConfigError

HEAD = f"schema = 1\ncalibration = {VERSION}\n"
TABLE = """
[live-720p30]
fps = 30
size = "1280x720"
viewers = 1
record = true
overlay = true
total_p50 = 6.0
total_p99 = 14.0
overhead_p50 = 2.0
without_own_percent = 1.0
dropped = 2.0
"""


def _figures(*, p50_ms: float = 10.0, without: float = 0.0, dropped: int = 0, unaccounted: int = 0) -> LiveFigures:
    row = {"count": 100.0, "p50_ms": p50_ms, "p95_ms": 20.0, "p99_ms": 25.0, "max_ms": 30.0}
    return LiveFigures(
        setup=Setup(),
        seconds=60.0,
        stages={"total": row, "overhead": row | {"p50_ms": 3.0}},
        accounts=Accounts(
            due=1800,
            frames=1800,
            not_taken=0,
            by_state={},
            by_cause={"dropped": dropped},
            unaccounted=unaccounted,
            without_own_percent=without,
        ),
        usage={},
        others_percent=0.0,
        recorded=None,
        before=Calibration(times_ms=(2.0, 2.0, 2.0)),
        after=Calibration(times_ms=(2.0, 2.0)),
        stream={},
    )


def _contract(tmp_path: Path, text: str = TABLE) -> Path:
    path = tmp_path / "contract.toml"
    path.write_text(HEAD + text)
    return path


def _broken(figures: LiveFigures, path: Path) -> list[str]:
    (limits,) = load_contract(path).values()
    return [item.name for item in breaches(figures, limits) if item.broken]


def test_what_keeps_within_its_limits_breaks_nothing(tmp_path: Path) -> None:
    assert _broken(_figures(), _contract(tmp_path)) == []


@pytest.mark.parametrize(
    ("figures", "name"),
    [
        (_figures(p50_ms=12.1), "total_p50"),
        (_figures(without=1.1), "without_own_percent"),
        (_figures(dropped=3), "dropped"),
        (_figures(unaccounted=1), "unaccounted"),
    ],
)
def test_what_is_beyond_is_named(tmp_path: Path, figures: LiveFigures, name: str) -> None:
    assert _broken(figures, _contract(tmp_path)) == [name]


def test_limits_are_ratios_to_the_calibration_of_the_same_run(tmp_path: Path) -> None:
    slow = Calibration(times_ms=(4.0,))
    figures = dataclasses.replace(_figures(p50_ms=20.0), before=slow, after=slow)
    assert _broken(figures, _contract(tmp_path)) == []
    assert figures.calibration_ms == 4.0


def test_a_setup_finds_its_own_table_alone(tmp_path: Path) -> None:
    contract = load_contract(_contract(tmp_path))
    found = find_limits(contract, Setup(), "vnni")
    assert found is not None
    assert found[0] == "live-720p30"
    assert find_limits(contract, Setup(), "avx2") is None
    for change in ({"fps": 60}, {"viewers": 0}, {"stalled": 1}, {"backend": "null"}, {"width_px": 1920}):
        assert find_limits(contract, dataclasses.replace(Setup(), **change), "vnni") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + TABLE + "speed = 1\n", "unknown key speed"),
        (HEAD + TABLE.replace("6.0", "0.0"), "total_p50 must be above 0"),
        ("schema = 1\ncalibration = 0\n" + TABLE, "calibration 0"),
        ("schema = 9\n", "schema 9"),
        ("what", "cannot be read"),
    ],
)
def test_a_contract_that_cannot_be_held_against_anything_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_contract(path)


def test_the_contract_that_ships_has_a_table_for_each_promise() -> None:
    contract = load_contract()
    for processor in ("vnni", "avx2"):
        for change in ({}, {"fps": 60, "viewers": 0}, {"width_px": 1920, "height_px": 1080}):
            holding = [name for name, limits in contract.items() if limits.holds_for(Setup(**change), processor)]
            assert len(holding) == 1, (processor, change, holding)


def test_the_calibration_work_has_not_changed() -> None:
    assert (VERSION, calibration_work()()) == (1, 25956303)


def test_calibration_goes_on_until_its_time_is_over() -> None:
    ticks = iter(range(10_000))
    found = calibrate(200.0, clock=lambda: float(next(ticks)))
    assert found.median_ms == 1000.0
    assert len(found.times_ms) >= 40
    assert len((found + found).times_ms) == 2 * len(found.times_ms)
