"""Answers of the demo page: the packets of the player, what may be fetched, the tables, and the worker."""

from __future__ import annotations

import json
import shutil
import struct
import threading
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from usassist.app.demo.answering import Answered, Answering, Choice, Report, StoppedError
from usassist.app.demo.desk import YOURS, Desk, Wish
from usassist.app.demo.material import Item
from usassist.app.demo.packets import SUMMARY, read_packet, write_packets
from usassist.app.demo.routes import clip_routes
from usassist.app.demo.shelf import Shelf
from usassist.app.demo.tables import compare, difference_rows, frame_rows, nodule_rows, read_summary
from usassist.app.demo.visits import Visits
from usassist.app.runtime.open_stream import StreamOptions
from usassist.common.clock import MonotonicClock
from usassist.config import RecordConfig
from usassist.errors import UsAssistError
from usassist.session import open_session
from usassist.session.summary import summarise
from usassist.words import load_words

GOLDEN = Path(__file__).parents[3] / "golden" / "sessions" / "sweep"
CHOICE = Choice(engine="thyroid_nodule")


def make_answer(folder: Path) -> Answered:
    """An answer made of a reference session."""
    folder.mkdir(parents=True)
    shutil.copytree(GOLDEN, folder / "session")
    session = open_session(folder / "session")
    overview = write_packets(session, folder, 90)
    (folder / SUMMARY).write_bytes(msgspec.json.encode(summarise(session)))
    return Answered(folder=folder, choice=CHOICE, overview=overview)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    return make_answer(tmp_path_factory.mktemp("demo") / "answer1")


@pytest.fixture
def answering() -> Answering:
    options = StreamOptions(source="", bus="", engine="thyroid_nodule", backend="null")
    return Answering(options, record=RecordConfig(), jpeg_quality=85)


def unpack(data: bytes) -> tuple[dict, np.ndarray]:
    (length,) = struct.unpack_from("<I", data)
    image = cv2.imdecode(np.frombuffer(data[4 + length :], np.uint8), cv2.IMREAD_UNCHANGED)
    return json.loads(data[4 : 4 + length]), image


def test_every_packet_holds_a_frame_with_its_own_result(answered: Answered) -> None:
    session = open_session(GOLDEN)
    images = {line.frame_id: image for line, image in session.images()}
    for index, line in enumerate(session.lines()):
        told = answered.overview.frames[index]
        assert told.span is not None
        head, image = unpack(read_packet(answered.folder, told.span))
        assert (head["index"], head["frame_id"]) == (index, line.frame_id)
        assert line.result is not None
        assert head["state"] == line.result["state"] == told.state
        assert len(head["nodules"]) == told.count == len(line.result["nodules"]) * head["draw"]
        for nodule, recorded in zip(head["nodules"], line.result["nodules"], strict=False):
            np.testing.assert_allclose(nodule["xyxy_px"], recorded["xyxy_px"], atol=0.06)
        recorded_image = images[line.frame_id]
        assert recorded_image is not None
        grey = recorded_image if recorded_image.ndim == 2 else cv2.cvtColor(recorded_image, cv2.COLOR_RGB2GRAY)
        shown = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        assert head["image_hw_px"] == list(grey.shape)
        assert np.abs(grey.astype(int) - shown.astype(int)).mean() < 4


def test_the_tables_say_what_the_session_holds(answered: Answered) -> None:
    words = load_words("en", "demo")
    document = read_summary(answered)
    rows = nodule_rows(document, answered.overview, words)
    assert [row[0] for row in rows[: len(document.nodules)]] == [nodule.name for nodule in document.nodules]
    frames = frame_rows(answered.overview, words)
    assert [row[0] for row in frames] == [line.frame_id for line in open_session(GOLDEN).frames]
    states = [line.state for line in answered.overview.frames]
    assert [row[2] for row in frames] == [words(f"state.{state}") for state in states]
    assert all(row[3] == "–" for row in frames if row[2] in ("NO RESULT", "STALE"))


def test_two_answers_are_compared_frame_by_frame(answered: Answered, tmp_path: Path) -> None:
    words = load_words("en", "demo")
    same = compare(answered, answered)
    assert same.different == []
    assert {item.dice for item in same.frames if item.dice is not None} == {1.0}

    other = make_answer(tmp_path / "answer2")
    path = other.folder / "session" / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changed = next(index for index, line in enumerate(lines) if line["state"] == "finding")
    for nodule in lines[changed]["nodules"]:
        nodule["contour_xy_px"] = [[x * 0.5, y * 0.5] for x, y in nodule["contour_xy_px"]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = compare(answered, other)
    assert [item.index for item in found.different] == [changed]
    (row,) = difference_rows(found, answered.overview, other.overview, words)
    assert row[0] == lines[changed]["frame_id"]
    assert float(row[-1]) < 0.9
    assert f"of {len(lines)} frames" in found.sentence(words)


def test_only_who_has_the_secret_may_fetch_and_only_what_is_meant_to_be_fetched(tmp_path: Path) -> None:
    visits = Visits(tmp_path, MonotonicClock())
    visit = visits.of("one")
    answer = make_answer(visit.new_answer())
    (visit.folder / "upload.mp4").write_bytes(b"secret")
    client = TestClient(Starlette(routes=list(clip_routes(visits))))
    base = f"/clip/{visit.secret}/{answer.folder.name}"
    overview = client.get(f"{base}/overview")
    assert len(overview.json()["frames"]) == len(answer.overview.frames)
    assert overview.headers["cache-control"] == "no-store"
    head, _ = unpack(client.get(f"{base}/3").content)
    assert head["index"] == 3
    table = client.get(f"{base}/results.csv")
    assert table.text.startswith("frame_id,")
    assert "attachment" in table.headers["content-disposition"]
    report = client.get(f"{base}/report-ko.html")
    assert '<html lang="ko"' in report.text
    for path in (
        f"{base}/99999",
        f"{base}/-1",
        f"{base}/player.bin",
        f"{base}/report-xx.html",
        f"{base}/..%2f..%2fupload.mp4",
        f"/clip/{visit.secret}/upload.mp4/0",
        f"/clip/{visit.secret}/../0",
        f"/clip/{visits.shared.secret}/{answer.folder.name}/0",
        f"/clip/one/{answer.folder.name}/0",
        f"/clip/{'ü' * 8}/{answer.folder.name}/0",
    ):
        assert client.get(path).status_code == 404, path
    visits.end("one")
    assert client.get(f"{base}/3").status_code == 404


@pytest.mark.slow
def test_a_clip_is_answered_without_dropping_a_frame_and_its_progress_is_told(
    answering: Answering, tmp_path: Path
) -> None:
    told: list[Report] = []
    source = "null:frames=20,rate=25,size=120x160"
    allowance = answering.look(source)
    assert (allowance.frames, allowance.count, allowance.size_wh_px) == (20, 1500, (160, 120))
    found = answering.answer(
        source,
        tmp_path / "answer1",
        CHOICE,
        allowance=allowance,
        calibration=None,
        stop=threading.Event(),
        report=told.append,
    )
    assert [line.frame_id for line in found.overview.frames] == list(range(20))
    assert all(line.state == "no_result" and line.count == 0 for line in found.overview.frames)  # of the null engine
    stages = list(dict.fromkeys(item.stage for item in told))
    assert stages == ["starting", "answering", "summing_up"]
    assert told[-1].frames == told[-1].total == 20


@pytest.mark.slow
def test_what_is_stopped_or_fails_leaves_nothing(answering: Answering, tmp_path: Path) -> None:
    stop = threading.Event()
    source = "null:frames=100000,rate=25,size=120x160"

    def answer(choice: Choice) -> None:
        answering.answer(
            source,
            tmp_path / "answer1",
            choice,
            allowance=answering.look(source),
            calibration=None,
            stop=stop,
            report=lambda now: stop.set() if now.stage == "answering" else None,
        )

    with pytest.raises(UsAssistError, match="unheard-of"):
        answer(Choice(engine="unheard-of"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoppedError):
        answer(CHOICE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_desk_keeps_an_upload_under_another_name_and_gives_a_document_of_which_nothing_is_kept(
    answering: Answering, tmp_path: Path
) -> None:
    visits = Visits(tmp_path / "visits", MonotonicClock()) if (tmp_path / "visits").mkdir() is None else None
    assert visits is not None
    desk = Desk(visits, answering, Shelf({}, answering, CHOICE, visits.shared))
    given = tmp_path / "Smith Jane.png"
    cv2.imwrite(str(given), np.random.default_rng(1).integers(0, 255, (120, 160), np.uint8))
    assert desk.take_upload("one", str(given)).frames == 1
    assert not given.exists()
    visit = visits.of("one")
    assert [path.name for path in visit.folder.iterdir()] == ["upload.png"]
    words = load_words("en", "demo")
    missing = desk.answer("two", Wish(item=YOURS, a=CHOICE), words, lambda now, letter: None)
    assert "there is no file yet" in missing.text  # the file of another visitor is not taken
    found = desk.answer("one", Wish(item=YOURS, a=CHOICE), words, lambda now, letter: None)
    assert found.text.startswith("Frames answered: 1.")
    assert "Frames without a result: 1 of 1" in found.text
    assert not found.simulated
    shutil.copy(visit.folder / "upload.png", tmp_path / "again.png")
    document = desk.answer_document("three", str(tmp_path / "again.png"), CHOICE)
    assert document["frames_answered"] == 1
    assert document["frames"][0]["state"] == "no_result"
    assert list(visits.of("three").folder.iterdir()) == []
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(UsAssistError, match="the file holds no video"):
        desk.take_upload("one", str(bad))
    assert not (visit.folder / "upload.mp4").exists()


@pytest.mark.slow
def test_a_bundled_clip_that_is_asked_for_comes_next_and_is_answered_once_for_all(
    answering: Answering, tmp_path: Path
) -> None:
    visits = Visits(tmp_path, MonotonicClock())
    names = ("one", "two", "three")
    items = {name: Item(name=name, source="null:frames=5,rate=25,size=120x160") for name in names}
    shelf = Shelf(items, answering, CHOICE, visits.shared)
    desk = Desk(visits, answering, shelf)
    shelf.start()
    words = load_words("en", "demo")
    found = desk.answer("visitor", Wish(item="three", a=CHOICE), words, lambda now, letter: None)
    assert found.simulated
    (answered,) = found.answers
    assert answered.folder.parent == visits.shared.folder
    assert shelf.get("two", CHOICE) is None  # it came after
    other = Choice(engine=CHOICE.engine, point="sensitive")
    assert shelf.ask("three", other, threading.Event(), lambda now: None) is None  # with other settings it is not there
    shelf.close()
