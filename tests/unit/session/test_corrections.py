"""Corrections from COCO files: imported beside a session, compared with its results, refused where they are wrong."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import usassist.common.private_files as private_files
from tests.unit.session.conftest import COUNT
from usassist.errors import SessionError, UsageError
from usassist.frames import fill_labelmap
from usassist.records import Segmentation
from usassist.session import open_session
from usassist.session.corrections import (
    CORRECTIONS_FILE,
    corrections_problems,
    current_frames,
    export_labels,
    import_corrections,
    labelled_frames,
    read_imports,
)
from usassist.session.corrections.coco_masks import polygons_mask, run_length_mask
from usassist.session.corrections.regions import Region, overlap
from usassist.session.export import export_coco
from usassist.session.repair import repair_session
from usassist.session.trim import trim_session
from usassist.session.verify import verify_session

HW = (48, 64)
Document = dict[str, Any]


@pytest.fixture
def coco(recorded: Path, tmp_path: Path) -> Document:
    """What was exported, as a tool gives it back: with ids of its own, and without what it does not know."""
    export_coco(open_session(recorded), tmp_path / "out.json")
    document: Document = json.loads((tmp_path / "out.json").read_text())
    for image in document["images"]:
        image |= {"id": image["id"] + 1, "file_name": f"upload/8c1f2a3b-{image['file_name']}"}
    for annotation in document["annotations"]:
        annotation["image_id"] += 1
        for name in ("score", "track_id", "size", "cut"):
            del annotation[name]
    return document | {"info": {"contributor": ""}}


def _save(document: Document, path: Path) -> Path:
    path.write_text(json.dumps(document))
    return path


def _before(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _region(folder: Path, frame_id: int) -> np.ndarray:
    line = json.loads((folder / "results.jsonl").read_text().splitlines()[frame_id])
    contour = np.array(line["nodules"][0]["contour_xy_px"], np.float32)
    return fill_labelmap(Segmentation.of([contour]), HW) > 0


def _counts(mask: np.ndarray) -> list[int]:
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int), [2]])))
    return np.diff([0, *edges]).tolist()


def _moved(mask: np.ndarray, x: int) -> np.ndarray:
    return np.roll(mask, x, axis=1)


def _edit(coco: Document, recorded: Path) -> dict[int, np.ndarray]:
    """Frame 1 moved, frame 3 removed, frame 5 with a second nodule, frame 7 with a hole; returns the masks."""
    notes = {item["image_id"] - 1: item for item in coco["annotations"]}
    masks = {1: _moved(_region(recorded, 1), 3), 3: np.zeros(HW, bool)}
    polygon = np.array(notes[1]["segmentation"][0], float).reshape(-1, 2)
    polygon[:, 0] += 3
    notes[1]["segmentation"] = [(polygon + 0.004).ravel().tolist()]  # tools round
    coco["annotations"].remove(notes[3])
    second = np.zeros(HW, np.uint8)
    cv2.circle(second, (55, 40), 5, 1, -1)
    counts = _counts(second > 0)
    extra = {"id": 900, "image_id": 6, "category_id": 1, "iscrowd": 1}
    coco["annotations"].append(extra | {"segmentation": {"size": list(HW), "counts": counts}})
    masks[5] = _region(recorded, 5) | (second > 0)
    ring = _region(recorded, 7).copy()
    ring[18:22, 28:33] = False
    notes[7] |= {"segmentation": {"size": list(HW), "counts": _counts(ring)}, "iscrowd": 0}
    masks[7] = ring
    return masks


def test_corrections_are_compared_with_the_results_and_give_their_masks_back(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    masks = _edit(coco, recorded)
    before = _before(recorded)
    outcome = import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="radiologist")
    assert outcome.frame_ids == sorted(masks)
    assert (outcome.accepted, outcome.changed, outcome.added, outcome.removed) == (1, 2, 1, 1)
    assert outcome.untouched == COUNT - len(masks)
    found = {item.frame_id: item for item in labelled_frames(open_session(recorded))}
    images = {line.frame_id: image for line, image in open_session(recorded).images()}
    assert found.keys() == masks.keys()
    for frame_id, mask in masks.items():
        np.testing.assert_array_equal(found[frame_id].nodule > 0, mask)
        np.testing.assert_array_equal(found[frame_id].image, images[frame_id])
    changes = {number: [x.change for x in item.correction.outlines] for number, item in found.items()}
    assert changes == {1: ["changed"], 3: [], 5: ["accepted", "added"], 7: ["changed"]}
    assert [item.row for item in found[3].correction.removed] == [0]
    after = _before(recorded)
    assert before == {name: after[name] for name in before}
    assert after.keys() - before.keys() == {CORRECTIONS_FILE}
    assert (recorded / CORRECTIONS_FILE).stat().st_mode & 0o077 == 0
    (line,) = read_imports(recorded)
    assert (line.role, line.files[0].kind, len(line.files[0].sha256)) == ("radiologist", "coco", 64)
    assert line.engine_ids
    assert "c.json" not in (recorded / CORRECTIONS_FILE).read_text()


def test_the_same_file_again_changes_nothing_and_a_later_one_holds_by_frame(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    _edit(coco, recorded)
    path = _save(coco, tmp_path / "c.json")
    import_corrections(recorded, [path], role="reader")
    content = (recorded / CORRECTIONS_FILE).read_bytes()
    shutil.copy(path, tmp_path / "other_name.json")
    assert import_corrections(recorded, [tmp_path / "other_name.json"], role="reader").known == 1
    assert (recorded / CORRECTIONS_FILE).read_bytes() == content
    later = next(item for item in coco["annotations"] if item["image_id"] == 2)
    mask = _moved(_region(recorded, 1), 5)
    later["segmentation"] = {"size": list(HW), "counts": _counts(mask)}
    coco["images"] = [image for image in coco["images"] if image["id"] == 2]
    coco["annotations"] = [later]
    import_corrections(recorded, [_save(coco, tmp_path / "later.json")], role="reader")
    assert (recorded / CORRECTIONS_FILE).read_bytes().startswith(content)
    assert [len(line.frames) for line in read_imports(recorded)] == [4, 1]
    assert list(current_frames(read_imports(recorded))) == [1, 3, 5, 7]
    found = {item.frame_id: item.nodule > 0 for item in labelled_frames(open_session(recorded))}
    np.testing.assert_array_equal(found[1], mask)


def test_frames_that_nobody_touched_are_labels_only_where_they_were_reviewed(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    path = _save(coco, tmp_path / "c.json")
    outcome = import_corrections(recorded, [path], role="reader")
    assert (outcome.frames, outcome.untouched) == (0, COUNT)
    assert not (recorded / CORRECTIONS_FILE).exists()
    with pytest.raises(SessionError, match="no corrections"):
        list(labelled_frames(open_session(recorded)))
    outcome = import_corrections(recorded, [path], role="reader", reviewed=True)
    assert (outcome.frames, outcome.accepted) == (COUNT, COUNT)
    for item in labelled_frames(open_session(recorded)):
        np.testing.assert_array_equal(item.nodule > 0, _region(recorded, item.frame_id))


def test_a_frame_without_an_answer_can_be_labelled(recorded: Path, coco: Document, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (recorded / "results.jsonl").read_text().splitlines()]
    lines[4] |= {"state": "no_result", "cause": "dropped", "reason": "because", "nodules": []}
    for number in (6, 8):  # their nodules came too late, and were not shown
        lines[number] |= {"state": "stale", "cause": "late", "reason": "because"}
    (recorded / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    coco["annotations"] = [item for item in coco["annotations"] if item["image_id"] != 9]
    outcome = import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="reader")
    assert (outcome.frame_ids, outcome.added, outcome.removed) == ([4, 6], 2, 0)
    assert current_frames(read_imports(recorded))[4].result_state == "no_result"


def test_an_untouched_frame_does_not_undo_an_earlier_correction_and_it_is_said(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    plain = _save(coco, tmp_path / "plain.json")
    _edit(coco, recorded)
    import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="reader")
    outcome = import_corrections(recorded, [plain], role="reader")
    assert outcome.still_holding == [1, 3, 5, 7]
    assert len(read_imports(recorded)) == 1


def _first(document: Document) -> Document:
    item: Document = document["annotations"][0]
    return item


BOW_TIE = [10.0, 10.0, 30.0, 33.0, 30.0, 10.0, 10.0, 30.0]
WRONG: dict[str, tuple[Callable[[Document], Any], str]] = {
    "another size": (lambda d: d["images"][2].update(width=65), "image 3 has another size than frame 2"),
    "unknown frame": (lambda d: d["images"][2].update(file_name="00000500.png"), "the session has no frame 500"),
    "another name": (lambda d: d["images"][2].update(file_name="MUELLER_ANNA.png"), "image 3 is not named as a frame"),
    "same image id": (lambda d: d["images"][2].update(id=1), "2 image entries have one id, 1"),
    "same frame": (lambda d: d["images"][2].update(file_name="00000001.png"), "two images of frame 1"),
    "same annotation id": (lambda d: _first(d).update(id=2), "2 annotation entries have one id, 2"),
    "no id": (lambda d: _first(d).pop("id"), "an entry of kind annotation has no id"),
    "image missing": (lambda d: _first(d).update(image_id=99), "annotation 1 belongs to no image"),
    "no categories": (lambda d: d.update(categories=[]), "has no categories"),
    "category missing": (lambda d: _first(d).update(category_id=7), "annotation 1 has no category"),
    "other label": (lambda d: d["categories"][0].update(name="MUELLER ANNA"), "is no label of the session"),
    "only a box": (lambda d: _first(d).update(segmentation=[]), "annotation 1 has no outline, only a box"),
    "outside": (lambda d: _first(d).update(segmentation=[[1, 1, 70, 1, 70, 9]]), "outside of the image"),
    "bow tie": (lambda d: _first(d).update(segmentation=[BOW_TIE]), "crosses itself"),
    "two corners": (lambda d: _first(d).update(segmentation=[[1, 1, 9, 9]]), "fewer than three corners"),
    "odd": (lambda d: _first(d).update(segmentation=[[1, 1, 9, 9, 5]]), "no list of pairs"),
    "text": (lambda d: _first(d).update(segmentation=[["a", "b"] * 3]), "no list of pairs"),
    "no pixel": (lambda d: _first(d).update(segmentation=[[1, 1, 1.2, 1, 1, 1.2]]), "covers no pixel"),
    "rle size": (lambda d: _first(d).update(segmentation={"size": [64, 48], "counts": [3072]}), "another size"),
    "rle sum": (lambda d: _first(d).update(segmentation={"size": [48, 64], "counts": [1, 5]}), "do not add up"),
    "rle negative": (lambda d: _first(d).update(segmentation={"size": [48, 64], "counts": [-1, 3073]}), "no numbers"),
    "rle text": (lambda d: _first(d).update(segmentation={"size": [48, 64], "counts": "~~"}), "a letter that"),
    "rle cut": (lambda d: _first(d).update(segmentation={"size": [48, 64], "counts": "P"}), "break off"),
    "no lists": (lambda d: d.pop("images"), "is no COCO file"),
    "no objects": (lambda d: d["images"].append(3), "is no COCO file"),
    "empty": (lambda d: d.update(images=[], annotations=[]), "has no images"),
    "another session": (lambda d: d.update(info={"session_id": "20200101T000000Z-000000"}), "another session"),
}


def test_a_wrong_file_is_refused_in_one_line_and_nothing_is_imported(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    good = _save(coco, tmp_path / "good.json")
    for name, (change, words) in WRONG.items():
        document = copy.deepcopy(coco)
        change(document)
        bad = _save(document, tmp_path / "bad.json")
        with pytest.raises(SessionError, match=words) as raised:
            import_corrections(recorded, [good, bad], role="reader", reviewed=True)
        assert "\n" not in str(raised.value), name
        assert "MUELLER" not in str(raised.value), name
        assert not (recorded / CORRECTIONS_FILE).exists(), name


def test_what_is_no_coco_is_refused(recorded: Path, coco: Document, tmp_path: Path) -> None:
    text = json.dumps(coco).encode()
    for content, words in (
        (text[:-400], "cut off"),
        (b"PK\3\4" + text, "zip archive"),
        (b"", "cut off"),
        (b"[]", "no"),
    ):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(SessionError, match=words):
            import_corrections(recorded, [tmp_path / "bad.json"], role="reader")
    with pytest.raises(SessionError, match="cannot be read"):
        import_corrections(recorded, [tmp_path / "none.json"], role="reader")
    with pytest.raises(UsageError, match="a role is one of"):
        import_corrections(recorded, [tmp_path / "bad.json"], role="Anna Mueller")


def test_two_files_of_one_frame_are_refused(recorded: Path, coco: Document, tmp_path: Path) -> None:
    one = _save(coco, tmp_path / "a.json")
    _edit(coco, recorded)
    with pytest.raises(SessionError, match="frame 0 is in 2 of the files"):
        import_corrections(recorded, [one, _save(coco, tmp_path / "b.json")], role="reader")
    with pytest.raises(UsageError, match="name each file once"):
        import_corrections(recorded, [one, _save(json.loads(one.read_text()), tmp_path / "copy.json")], role="reader")


def test_a_file_that_lies_nowhere_on_the_results_is_said_to_be_of_another_session(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    for item in coco["annotations"]:
        item["segmentation"] = [[50, 40, 60, 40, 60, 46, 50, 46]]
    path = _save(coco, tmp_path / "c.json")
    with pytest.raises(SessionError, match="seem to belong to another session; give --unlike"):
        import_corrections(recorded, [path], role="reader")
    outcome = import_corrections(recorded, [path], role="reader", accept_unlike=True)
    assert (outcome.added, outcome.removed) == (COUNT, COUNT)


def test_verify_sees_a_changed_record(recorded: Path, coco: Document, tmp_path: Path) -> None:
    _edit(coco, recorded)
    import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="reader")
    assert corrections_problems(open_session(recorded)) == []
    assert verify_session(recorded, look_for_text=False).problems == []
    path = recorded / CORRECTIONS_FILE
    whole = path.read_bytes()
    line = json.loads(whole)
    line["frames"][0]["outlines"][0]["parts"][0]["contour_xy_px"][0][0] += 9
    for content, words in (
        (whole[:-9], "breaks off"),
        (json.dumps(line).encode() + b"\n", "is damaged"),
        (whole.replace(b'"previous_sha256":"e3', b'"previous_sha256":"00'), "was changed before line 1"),
        (whole.replace(b'"schema":[1,0]', b'"schema":[9,0]'), "newer usassist"),
        (b"{}\n", "damaged in line 1"),
    ):
        path.write_bytes(content)
        assert [problem for problem in verify_session(recorded, look_for_text=False).problems if words in problem]
    with pytest.raises(SessionError):
        import_corrections(recorded, [tmp_path / "out.json"], role="reader", reviewed=True)


def test_corrections_go_with_a_part_and_with_a_repaired_copy(recorded: Path, coco: Document, tmp_path: Path) -> None:
    masks = _edit(coco, recorded)
    import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="reader")
    trim_session(recorded, "2", "6", tmp_path / "part")
    repair_session(recorded, tmp_path / "repaired")
    for folder, wanted in ((tmp_path / "part", [3, 5]), (tmp_path / "repaired", [1, 3, 5, 7])):
        found = {item.frame_id: item.nodule > 0 for item in labelled_frames(open_session(folder))}
        assert sorted(found) == wanted
        for frame_id in wanted:
            np.testing.assert_array_equal(found[frame_id], masks[frame_id])
        assert verify_session(folder, look_for_text=False).problems == []
    import_corrections(tmp_path / "repaired", [tmp_path / "out.json"], role="reader", reviewed=True)
    assert verify_session(tmp_path / "repaired", look_for_text=False).problems == []


def test_a_write_that_fails_leaves_the_record_as_it_was(
    recorded: Path, coco: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _save(coco, tmp_path / "plain.json")
    _edit(coco, recorded)
    import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="reader")
    before = _before(recorded)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files.os, "replace", full)
    with pytest.raises(SessionError, match="the disk is full: nothing was imported"):
        import_corrections(recorded, [plain], role="reader", reviewed=True)
    assert _before(recorded) == before

    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(private_files.os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        import_corrections(recorded, [plain], role="reader", reviewed=True)
    assert _before(recorded) == before


_KILLED = """
import os, signal, sys
import usassist.common.private_files as files
from pathlib import Path
from usassist.session.corrections import import_corrections
files.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
import_corrections(Path(sys.argv[1]), [Path(sys.argv[2])], role="reader", reviewed=True)
"""


def test_an_import_that_is_killed_has_never_been_and_the_next_one_works(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    path = _save(coco, tmp_path / "c.json")
    run = subprocess.run([sys.executable, "-c", _KILLED, str(recorded), str(path)], check=False, timeout=60)
    assert run.returncode == -9
    assert not (recorded / CORRECTIONS_FILE).exists()
    assert import_corrections(recorded, [path], role="reader", reviewed=True).frames == COUNT
    assert not [path for path in recorded.iterdir() if path.name.startswith(".")]
    assert verify_session(recorded, look_for_text=False).problems == []


def test_labels_are_written_as_images_and_masks(recorded: Path, coco: Document, tmp_path: Path) -> None:
    masks = _edit(coco, recorded)
    import_corrections(recorded, [_save(coco, tmp_path / "c.json")], role="reader")
    assert export_labels(open_session(recorded), tmp_path / "labels") == len(masks)
    session_id = open_session(recorded).manifest.session_id
    for frame_id, mask in masks.items():
        stored = cv2.imread(str(tmp_path / f"labels/masks/{session_id}_{frame_id:08d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored, mask.astype(np.uint8) * 255)
        assert (tmp_path / f"labels/images/{session_id}_{frame_id:08d}.png").is_file()
    facts = json.loads((tmp_path / "labels/corrections.json").read_text())
    assert [item["frame_id"] for item in facts] == sorted(masks)
    with pytest.raises(SessionError, match="already"):
        export_labels(open_session(recorded), tmp_path / "labels")


def _odd_mask(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(HW, np.uint8)
    for value in (1, 1, 0, 1):
        center = tuple(int(x) for x in rng.integers((0, 0), (64, 48)))
        axes = tuple(int(x) for x in rng.integers(0, 20, 2))
        cv2.ellipse(mask, center, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    return mask > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_region_comes_back_from_its_parts_with_holes_and_islands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for mask in [_odd_mask(rng) for _ in range(20)] + [rng.random(HW) < 0.5]:
        region = Region.of_mask(mask)
        if region is None:
            continue
        parts = json.loads(json.dumps(region.parts()))
        back = np.zeros(HW, np.uint8)
        again = Region.of_parts(parts, HW)
        assert again is not None
        again.paint(back)
        np.testing.assert_array_equal(back > 0, mask)
        assert overlap(region, again) == 1.0


# pycocotools 2.0.11 has arrays that numpy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_of_pycocotools_are_read_packed_and_not(seed: int) -> None:
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    mask = _odd_mask(np.random.default_rng(seed))
    packed = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation = {"size": list(packed["size"]), "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(run_length_mask(segmentation, HW), mask)
    np.testing.assert_array_equal(run_length_mask({"size": list(HW), "counts": _counts(mask)}, HW), mask)


def test_a_polygon_holds_the_pixels_whose_centres_it_holds() -> None:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:48, :64]
    for _ in range(20):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = np.stack([32 + 25 * np.cos(angle), 24 + 20 * np.sin(angle)], axis=1)
        contour = points.astype(np.float32).reshape(-1, 1, 2)
        inside = [
            cv2.pointPolygonTest(contour, (a + 0.5, b + 0.5), True) for b, a in np.stack([y.ravel(), x.ravel()], 1)
        ]
        clear = np.abs(np.array(inside)).reshape(HW) > 1e-3
        mask = polygons_mask([points.ravel().tolist()], HW)
        np.testing.assert_array_equal(mask[clear], (np.array(inside).reshape(HW) > 0)[clear])


def test_two_imports_at_once_are_both_kept(recorded: Path, coco: Document, tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        part = coco | {"images": coco["images"][4 * number : 4 * number + 4]}
        kept = {image["id"] for image in part["images"]}
        part["annotations"] = [item for item in coco["annotations"] if item["image_id"] in kept]
        paths.append(_save(part, tmp_path / f"{number}.json"))
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(import_corrections, recorded, [path], role="reader", reviewed=True) for path in paths]
    assert [run.result().frames for run in runs] == [4, 4, 4]
    assert [len(line.frames) for line in read_imports(recorded)] == [4, 4, 4]
    assert len(current_frames(read_imports(recorded))) == COUNT
    assert not [path for path in recorded.iterdir() if path.name.startswith(".")]


def test_outlines_that_were_traced_through_pixel_centres_are_noticed_and_read(
    recorded: Path, coco: Document, tmp_path: Path
) -> None:
    """As the brush export of Label Studio writes them: contours of OpenCV, in numbers of pixels."""
    masks = {}
    for item in coco["annotations"]:
        frame_id = item["image_id"] - 1
        masks[frame_id] = _moved(_region(recorded, frame_id), frame_id)
        found, _ = cv2.findContours(masks[frame_id].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        item["segmentation"] = [found[0][:, 0].ravel().tolist()]
    path = _save(coco, tmp_path / "brush.json")
    with pytest.raises(SessionError, match=r"12 of 12 outlines look traced .* give --polygons centres"):
        import_corrections(recorded, [path], role="reader")
    assert import_corrections(recorded, [path], role="reader", through_centres=False).frames == COUNT
    assert import_corrections(recorded, [path], role="reader", through_centres=True, reviewed=True).frames == COUNT
    assert import_corrections(recorded, [path], role="reader", through_centres=True).known == 1
    for item in labelled_frames(open_session(recorded)):
        np.testing.assert_array_equal(item.nodule > 0, masks[item.frame_id])
