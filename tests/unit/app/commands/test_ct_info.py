"""`usassist ct info`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.ct_series import make_series
from usassist.app.commands.ct_info import info
from usassist.app.commands.main import app

HU = np.random.default_rng(9).integers(-1000, 2000, (3, 8, 8))


def test_series_are_listed_with_what_is_wrong_and_what_each_is_fit_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_series(tmp_path / "a", HU, tags={"BodyPartExamined": "HEAD", "ConvolutionKernel": "H31s"})
    make_series(tmp_path / "b", HU, tags={"ContrastBolusAgent": "Doe 300", "SeriesDescription": "Doe ABDOMEN"})
    make_series(tmp_path / "c", np.concatenate([HU, HU]), without=[2], tags={"ConvolutionKernel": "B70s"})
    info(tmp_path, as_json=True)
    rows = json.loads(capsys.readouterr().out)["series"]
    assert [(row["fit_for"]["ich"]["fit"], row["fit_for"]["bodycomp"]["fit"]) for row in rows] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert "patient" not in rows[0]
    info(tmp_path)
    out = capsys.readouterr().out
    assert "8x8x3" in out
    assert "head, H31s" in out
    assert "3  cannot be read: it lacks 1 plane" in out
    assert "2  not for ich: it was made with contrast medium" in out
    assert "1  not for bodycomp: it shows another body part (head)" in out
    assert "Doe" not in out


def test_ct_is_a_command() -> None:
    assert "ct" in [group.name for group in app.registered_groups]
