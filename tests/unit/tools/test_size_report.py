from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tools.size_figures import Comparison, summarise
from tools.size_report import main


def _item(error: float, *, ratio_error: float = 0.0, state: str | None = "wider", **cuts: bool) -> Comparison:
    names = ("major", "minor", "ap", "transverse", "equivalent")
    measured = {name: 10.0 * (1.0 + error) for name in names}
    measured["ap"] *= float(np.exp(ratio_error))
    truth = dict.fromkeys(names, 10.0) | {"ap": 8.0}
    measured["ap"] *= 0.8
    return Comparison(
        frame="f",
        is_cut=cuts.get("is_cut", False),
        said_cut=cuts.get("said_cut", False),
        truth_mm=truth,
        measured_mm=measured,
        u95_mm=dict.fromkeys(names, 1.0),
        ap_t_low=0.7,
        ap_t_high=0.9,
        ap_t_state=state,
        truth_shape={"solidity": 0.9 + 0.1 * error, "total_curvature": 1.0 + error**2},
        measured_shape={"solidity": 0.8 + 0.2 * error, "total_curvature": 2.0 - error**2},
    )


def test_errors_and_coverage_are_those_of_whole_nodules() -> None:
    cut = _item(3.0, is_cut=True)
    figures = summarise([_item(0.05), _item(-0.05), _item(0.2), cut, _item(3.0, said_cut=True)])
    major = figures["whole"]["major"]
    assert (figures["found"], major["count"]) == (5, 3)
    assert major["bias"] == pytest.approx(0.2 / 3)
    assert major["p50"] == pytest.approx(0.05)
    assert major["coverage"] == pytest.approx(2 / 3)
    assert [third["bias"] for third in figures["thirds"]] == pytest.approx([-0.05, 0.05, 0.2])


def test_the_ratio_is_judged_apart_from_the_lengths() -> None:
    figures = summarise(
        [_item(0.5, ratio_error=0.3), _item(0.5, ratio_error=-0.1, state="taller"), _item(0.0, state="uncertain")]
    )
    ap_t = figures["ap_t"]
    assert ap_t["rel_sd"] == pytest.approx(np.sqrt((0.09 + 0.01) / 3), abs=1e-4)
    assert (ap_t["taller"], ap_t["wider"], ap_t["uncertain"], ap_t["right"]) == (1, 1, 1, 1)
    assert ap_t["coverage"] == 1.0


def test_the_shape_is_correlated_with_the_truth() -> None:
    shape = summarise([_item(0.0), _item(0.1), _item(0.3)])["shape"]
    assert shape["solidity"] == pytest.approx(1.0)
    assert shape["total_curvature"] == pytest.approx(-1.0)


def test_cuts_are_counted_and_bounds_checked() -> None:
    seen, missed = _item(-0.1, is_cut=True, said_cut=True), _item(0.0, is_cut=True)
    invented = _item(0.3, said_cut=True)
    assert summarise([seen, missed, invented])["cut"] == {"seen": 1, "missed": 1, "invented": 1, "bound_holds": 0.5}


def test_without_nodules_nothing_is_made_up() -> None:
    figures = summarise([])
    assert figures["whole"]["major"]["p90"] is None
    assert figures["ap_t"]["rel_sd"] is None


@pytest.mark.slow
def test_the_shipped_engine_is_measured_on_simulated_sweeps(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(main)
    options = ["--sweeps", "2", "--frames", "1", "--threads", "1", "--json", str(tmp_path / "sizes.json")]
    run = CliRunner().invoke(app, options)
    assert run.exit_code == 0, run.output
    report = json.loads((tmp_path / "sizes.json").read_text())
    assert 0 < report["found"] <= report["nodules"]
    assert report["whole"]["major"]["coverage"] > 0.8
    assert all(item["measured_mm"]["major"] > 0 for item in report["compared"])
