"""COCO and Parquet, and several exports at once."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import usassist.session.export.targets as targets_module
from tests.samples import make_result
from tests.unit.session.conftest import COUNT, cut_off
from usassist.errors import SessionError, UsageError
from usassist.frames import fill_labelmap
from usassist.records import Measurements, Segmentation
from usassist.session import open_session
from usassist.session.export import (
    CSV_COLUMNS,
    TABLE_COLUMNS,
    ExportTargets,
    export_coco,
    export_csv,
    export_parquet,
    export_session,
)

UNANSWERED = {2: ("no_result", "dropped"), 7: ("stale", "late")}
EMPTY = 4


@pytest.fixture
def mixed(recorded: Path) -> Path:
    """The session with a frame without a nodule, and two without an answer."""
    lines = [json.loads(line) for line in (recorded / "results.jsonl").read_text().splitlines()]
    for line in lines:
        if line["frame_id"] == EMPTY:
            line |= {"state": "no_finding", "nodules": []}
        elif line["frame_id"] in UNANSWERED:
            state, cause = UNANSWERED[line["frame_id"]]
            line |= {"state": state, "cause": cause, "reason": "because"}
            line["nodules"] = line["nodules"] if state == "stale" else []
    (recorded / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return recorded


def _coco(folder: Path, path: Path, **options: Any) -> dict[str, Any]:
    export_coco(open_session(folder), path, **options)
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _shoelace(polygon: list[int]) -> float:
    x, y = np.array(polygon).reshape(-1, 2).T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def _nodules(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in (folder / "results.jsonl").read_text().splitlines():
        result = json.loads(line)
        if result["state"] == "finding":
            for nodule in result["nodules"]:
                yield result["frame_id"], nodule


def test_coco_has_an_image_for_each_answer_and_lists_the_frames_without(mixed: Path, tmp_path: Path) -> None:
    document = _coco(mixed, tmp_path / "out.json")
    answered = [number for number in range(COUNT) if number not in UNANSWERED]
    assert [image["id"] for image in document["images"]] == answered
    assert document["images"][0] == {"id": 0, "file_name": "00000000.png", "width": 64, "height": 48}
    assert EMPTY in answered
    assert EMPTY not in {item["image_id"] for item in document["annotations"]}
    info = document["info"]
    assert info["frames"] == COUNT == len(answered) + len(info["frames_without_answer"])
    told = {item["frame_id"]: (item["state"], item["cause"]) for item in info["frames_without_answer"]}
    assert told == UNANSWERED
    assert info["engine_id"].startswith("thyroid_nodule@")
    assert (tmp_path / "out.json").stat().st_mode & 0o077 == 0


def test_coco_annotations_are_the_nodules_of_the_recording(mixed: Path, tmp_path: Path) -> None:
    document = _coco(mixed, tmp_path / "out.json")
    assert document["categories"] == [{"id": 1, "name": "nodule", "supercategory": "", "label_id": 0}]
    expected = list(_nodules(mixed))
    assert len(expected) == len(document["annotations"]) == COUNT - 3
    assert [item["id"] for item in document["annotations"]] == list(range(1, len(expected) + 1))
    for item, (frame_id, nodule) in zip(document["annotations"], expected, strict=True):
        assert (item["image_id"], item["category_id"], item["score"]) == (frame_id, 1, nodule["score"])
        x, y, width, height = item["bbox"]
        assert [x, y, x + width, y + height] == pytest.approx(nodule["xyxy_px"])
        (polygon,) = item["segmentation"]
        assert min(polygon) >= 0
        assert item["area"] == _shoelace(polygon) == pytest.approx(nodule["area_px2"])
        corners = np.array(polygon).reshape(-1, 2)
        assert [*corners.min(axis=0), *corners.max(axis=0)] == pytest.approx(nodule["xyxy_px"])


def _odd_outlines(folder: Path, seed: int) -> dict[int, np.ndarray]:
    """Give nodules odd outlines, some at the border or one pixel wide; returns frame → region that is meant."""
    rng = np.random.default_rng(seed)
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    regions: dict[int, np.ndarray] = {}
    for line in lines:
        region = np.zeros((48, 64), np.uint8)
        for _ in range(2):
            center = tuple(int(value) for value in rng.integers((0, 0), (64, 48)))
            axes = tuple(int(value) for value in rng.integers(0, 14, 2))
            cv2.ellipse(region, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        contour = contours[0][:, 0].astype(np.float32) + 0.5
        line["nodules"][0]["contour_xy_px"] = contour.tolist()
        regions[line["frame_id"]] = fill_labelmap(Segmentation.of([contour]), (48, 64))
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return regions


@pytest.mark.parametrize("seed", range(3))
def test_a_coco_polygon_holds_the_pixels_that_the_outline_means(recorded: Path, tmp_path: Path, seed: int) -> None:
    regions = _odd_outlines(recorded, seed)
    for item in _coco(recorded, tmp_path / "out.json")["annotations"]:
        polygon = np.array(item["segmentation"][0], np.float32).reshape(-1, 1, 2)
        inside = [
            [cv2.pointPolygonTest(polygon, (column + 0.5, row + 0.5), False) > 0 for column in range(64)]
            for row in range(48)
        ]
        np.testing.assert_array_equal(inside, regions[item["image_id"]])
        assert item["area"] == np.sum(inside)


# pycocotools 2.0.11 has arrays that numpy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_pycocotools_fills_a_polygon_to_the_same_pixels(recorded: Path, tmp_path: Path, seed: int) -> None:
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    regions = _odd_outlines(recorded, seed)
    for item in _coco(recorded, tmp_path / "out.json")["annotations"]:
        mask = tools.decode(tools.merge(tools.frPyObjects(item["segmentation"], 48, 64)))
        np.testing.assert_array_equal(mask, regions[item["image_id"]])


def test_pycocotools_reads_and_evaluates_it(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed").COCO
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval
    document = _coco(mixed, tmp_path / "out.json")
    truth = coco(str(tmp_path / "out.json"))
    assert truth.getCatIds(catNms=["nodule"]) == [1]
    found = truth.loadRes([dict(item) for item in document["annotations"]])
    for kind in ("bbox", "segm"):
        run = evaluation(truth, found, kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
        assert run.stats[0] == pytest.approx(1.0)
    capsys.readouterr()


def test_coco_names_the_png_files_beside_it_and_no_other(mixed: Path, tmp_path: Path) -> None:
    cut_off(mixed / "frames_2.nut", 1500)  # the last frames cannot be read any more
    problems: list[str] = []
    targets = ExportTargets(coco=tmp_path / "out.json", frames=tmp_path / "png")
    export_session(open_session(mixed), targets, problems)
    document = json.loads((tmp_path / "out.json").read_text())
    files = {path.name for path in (tmp_path / "png").iterdir()}
    names = {image["file_name"] for image in document["images"]}
    without = {item["file_name"] for item in document["info"]["frames_without_answer"]}
    assert len(files) < COUNT
    assert problems
    assert names == files - without
    assert names | without == {f"{number:08d}.png" for number in range(COUNT)}
    image = document["images"][-1]
    stored = cv2.imread(str(tmp_path / "png" / image["file_name"]), cv2.IMREAD_UNCHANGED)
    assert stored.shape[:2] == (image["height"], image["width"])


def test_coco_names_labels_even_where_nothing_was_found_and_the_log_is_lost(mixed: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (mixed / "results.jsonl").read_text().splitlines()]
    quiet = [line | {"state": "no_finding", "nodules": []} for line in lines]
    (mixed / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in quiet))
    assert [item["name"] for item in _coco(mixed, tmp_path / "a.json")["categories"]] == ["nodule"]
    (mixed / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (mixed / "bus.log").unlink()
    document = _coco(mixed, tmp_path / "b.json")
    assert [item["name"] for item in document["categories"]] == ["nodule"]
    assert document["info"]["engine_id"] is None


def test_parquet_is_the_table_of_the_csv_in_its_types(mixed: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra `parquet`)")
    session = open_session(mixed)
    assert export_csv(session, tmp_path / "out.csv") == export_parquet(session, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert tuple(table.column_names) == CSV_COLUMNS
    kinds = {"int64": "int", "double": "float", "string": "text"}
    assert {field.name: kinds[str(field.type)] for field in table.schema} == TABLE_COLUMNS
    with (tmp_path / "out.csv").open(newline="") as file:
        for text, row in zip(csv.DictReader(file), table.to_pylist(), strict=True):
            for name, kind in TABLE_COLUMNS.items():
                value = row[name]
                if kind == "text":
                    assert text[name] == (value or "")
                elif value is None:
                    assert text[name] == ""
                else:
                    assert math.isclose(float(text[name]), value, abs_tol=1e-6)
    assert table.column("nodule").null_count == 2
    assert (tmp_path / "out.parquet").stat().st_mode & 0o077 == 0


def test_without_pyarrow_nothing_is_written(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"pip install 'usassist\[parquet\]'"):
        export_session(
            open_session(mixed), ExportTargets(csv=tmp_path / "a.csv", parquet=tmp_path / "a.parquet"), problems=[]
        )
    assert sorted(tmp_path.iterdir()) == before


def _all(folder: Path) -> ExportTargets:
    return ExportTargets(csv=folder / "a.csv", coco=folder / "a.json", video=folder / "a.mkv", frames=folder / "png")


def test_everything_that_is_asked_for_is_written_at_once(mixed: Path, tmp_path: Path) -> None:
    problems: list[str] = []
    written = export_session(open_session(mixed), _all(tmp_path), problems)
    assert problems == []
    assert written == {
        str(tmp_path / "a.csv"): f"{COUNT} rows",
        str(tmp_path / "a.mkv"): f"{COUNT} frames",
        str(tmp_path / "png"): f"{COUNT} frames",
        str(tmp_path / "a.json"): f"{COUNT - 3} annotations of {COUNT - 2} images",
    }
    assert all(Path(name).exists() for name in written)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.mkv", "png"])
def test_what_is_there_already_stays_and_nothing_else_appears(mixed: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SessionError, match="already"):
        export_session(open_session(mixed), _all(tmp_path), [])
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("step", ["write_csv", "write_video", "write_frames", "write_coco"])
def test_ctrl_c_leaves_nothing(mixed: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = getattr(targets_module, step)

    def stopped(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(targets_module, step, stopped)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export_session(open_session(mixed), _all(tmp_path), [])
    assert sorted(tmp_path.iterdir()) == before


_FULL = """
import resource, sys
from pathlib import Path
from usassist.errors import SessionError
from usassist.session import open_session
from usassist.session.export import ExportTargets, export_session
session, folder = open_session(sys.argv[1]), Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # no file may become longer, as on a disk that is full
try:
    export_session(session, ExportTargets(csv=folder / "a.csv", coco=folder / "a.json", frames=folder / "png"), [])
except SessionError as error:
    assert "cannot be written" in str(error), error
    sys.exit(3)
"""


def test_a_disk_without_room_leaves_nothing(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run = subprocess.run([sys.executable, "-c", _FULL, str(mixed), str(tmp_path / "out")], check=False, timeout=60)
    assert run.returncode == 3
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({}, "no export given"),
        ({"csv": "x", "coco": "x"}, "the same name"),
        ({"csv": "x", "frames": "./x"}, "the same name"),
        ({"video": "x.avi"}, r"is no \.mkv or \.mp4"),
    ],
)
def test_targets_that_do_not_fit_are_refused(names: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExportTargets(**{key: Path(name) for key, name in names.items()})


@pytest.fixture
def one_cut(recorded: Path) -> Path:
    """The session, in which the border of the scan cuts the nodule of frame 3, and frame 5 is from before 1.5."""
    lines = [json.loads(line) for line in (recorded / "results.jsonl").read_text().splitlines()]
    sizes = make_result(3).measurements
    for line in lines:
        if line["frame_id"] == 3:
            line["nodules"][0] |= dataclasses.replace(sizes, cut=np.ones(1, np.uint8)).row(0)
        if line["frame_id"] == 5:
            for name in sizes.row(0).keys() - set(Measurements.PIXEL_COLUMNS + Measurements.MILLIMETRE_COLUMNS):
                del line["nodules"][0][name]
    (recorded / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return recorded


def test_a_size_that_the_border_cuts_is_exported_as_a_bound_without_an_interval(one_cut: Path, tmp_path: Path) -> None:
    export_csv(open_session(one_cut), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {int(row["frame_id"]): row for row in csv.DictReader(file)}
    whole, cut, old = rows[1], rows[3], rows[5]
    assert (whole["cut"], cut["cut"], old["cut"]) == ("0", "1", "")
    assert cut["size"] == "≥ 2.5 mm, cut by the border of the scan"
    assert whole["size"] == old["size"] == "2.5 ± 0.3 × 1.8 ± 0.2 mm"
    assert float(cut["ap_mm"]) == pytest.approx(1.7)
    assert {name for name in cut if "u95" in name and cut[name]} == set()
    assert cut["ap_t"] == cut["ap_t_state"] == cut["minor_mm"] == ""
    assert (whole["ap_t_state"], old["ap_t_state"]) == ("wider", "")
    assert float(whole["equivalent_u95_mm"]) > 0
    annotations = {item["image_id"]: item for item in _coco(one_cut, tmp_path / "coco.json")["annotations"]}
    assert [annotations[frame_id]["cut"] for frame_id in (1, 3, 5)] == [False, True, None]
    assert annotations[3]["size"].startswith("≥ 2.5 mm")
