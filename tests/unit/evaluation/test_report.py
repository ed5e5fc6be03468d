from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

from tests.unit.evaluation.scenes import LABELS, SIZE_HW_PX, bright_ellipse_engine, frame
from usassist.errors import SessionError
from usassist.evaluation import Figure, run_frames
from usassist.evaluation.contact_sheet import WorstFrames, draw_sheet
from usassist.evaluation.report_files import describe_command, write_csv, write_json


def test_a_command_is_described_without_machine_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    arguments = ["eval", f"{tmp_path}/set/images", "/elsewhere/masks", f"--out={tmp_path}/x.toml", "--threads", "2"]
    assert describe_command("usassist", arguments) == "usassist eval set/images masks --out=x.toml --threads 2"
    monkeypatch.delenv("USASSIST_DATA")
    assert describe_command("usassist", ["eval", "/elsewhere/my masks"]) == "usassist eval 'my masks'"


def test_json_has_figures_and_null_for_undefined_ones(tmp_path):
    figure = Figure(value=np.float64(0.5).item(), low=float("nan"), high=1.0, count=3)
    write_json(tmp_path / "new" / "out.json", {"a": figure, "b": [np.float32(0.25), np.array([1, 2])]})
    document = json.loads((tmp_path / "new" / "out.json").read_text())
    assert document == {"a": {"value": 0.5, "low": None, "high": 1.0, "count": 3}, "b": [0.25, [1, 2]]}


def test_csv_leaves_unknown_fields_empty(tmp_path):
    write_csv(tmp_path / "out.csv", [{"name": "a, b", "dice": float("nan")}, {"name": "c", "dice": 1 / 3}])
    with (tmp_path / "out.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"name": "a, b", "dice": ""}, {"name": "c", "dice": "0.333333"}]


def test_a_path_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SessionError, match="cannot be written"):
        write_json(tmp_path / "file" / "out.json", {})


def test_the_sheet_keeps_the_worst_frames_and_shows_both_outlines():
    frames = [frame(f"{i}_1", [(200 + 10 * i, 150, 50, 30)]) for i in range(14)]
    frames = [dataclasses.replace(item, truth=np.roll(item.truth, 40, axis=1)) for item in frames]
    outcomes = list(run_frames(bright_ellipse_engine(0.9), SIZE_HW_PX, LABELS, frames))
    worst = WorstFrames(12)
    for index, outcome in enumerate(reversed(outcomes)):
        worst.offer(outcome, 0.5, float(index), f"{outcome.frame.name}  a caption that is far too long " * 3)
    assert [tile.key[0] for tile in worst.tiles] == [float(index) for index in range(12)]
    sheet = draw_sheet(worst.tiles, "title")
    first = sheet[44:314, 12:412].reshape(-1, 3)
    for color in ((255, 200, 60), (40, 150, 255)):
        assert (np.abs(first.astype(int) - color).max(axis=1) < 40).sum() > 20
    assert not np.array_equal(sheet, draw_sheet(worst.tiles, "title", with_truth=False))


def test_a_sheet_without_frames_has_a_note():
    sheet = draw_sheet([], "title")
    assert (sheet[44:] > 200).any()
