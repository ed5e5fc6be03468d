"""A recording is shown to hold no identity; what is planted in it is found, and its value is never repeated."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.bus import LogReader, MessageLogWriter
from usassist.common.pyav import av
from usassist.session import identity
from usassist.session.identity import find_identity
from usassist.session.text_left import EveryText
from usassist.session.verify import verify_session

SECRET = "NOBODY"


def test_a_recording_holds_none(recorded: Path) -> None:
    report = find_identity(recorded)
    assert report.findings == []
    assert report.texts > 50
    assert report.videos == 2
    assert any("date and time" in line for line in report.not_shown)
    assert not verify_session(recorded, look_for_identity=True).holds_identity


def _manifest(folder: Path, line: str) -> None:
    path = folder / "session.toml"
    path.write_text(path.read_text().replace("[source]\n", f"[source]\n{line}\n"))


def _mark(folder: Path, **values: str) -> None:
    with (folder / "marks.jsonl").open("a") as file:
        file.write(json.dumps({"frame_id": 1, "kind": "bookmark"} | values) + "\n")


def _video(folder: Path, **metadata: str) -> None:
    path = folder / "frames.nut"
    with av.open(str(path)) as before, av.open(str(folder / "new.nut"), "w") as after:
        after.metadata.update(metadata)
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    (folder / "new.nut").replace(path)


def _log(folder: Path) -> None:
    records = list(LogReader(folder / "bus.log"))
    session = next(record for record in records if record.data.startswith(b"session/"))
    changed = session.data.replace(b'"source":"test"', b'"source":"/a/b"')
    assert changed != session.data
    (folder / "bus.log").unlink()
    with MessageLogWriter(folder / "bus.log") as writer:
        writer.append(changed)


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda f: _manifest(f, 'patient_name = "NOBODY"'), "session.toml has a key that names identity: patient_name"),
        (lambda f: _manifest(f, 'note_of = "/home/NOBODY/x.dcm"'), "session.toml, key note_of: the path of a file"),
        (lambda f: _manifest(f, 'a = "C:\\\\NOBODY\\\\x"'), "session.toml, key a: the path of a file"),
        (lambda f: _manifest(f, 'a = "rtsp://NOBODY:x@10.0.0.9/"'), "session.toml, key a: an address of the net"),
        (lambda f: _manifest(f, "# NOBODY^INVENTED"), "session.toml, key comment line: a name as DICOM writes it"),
        (lambda f: _mark(f, plane="INVENTED^NOBODY"), "marks.jsonl, key plane: a name as DICOM writes it"),
        (lambda f: _mark(f, side="nobody@clinic.invalid"), "marks.jsonl, key side: an e-mail address"),
        (lambda f: _mark(f, accession="NOBODY"), "marks.jsonl has a key that names identity: accession"),
        (lambda f: _video(f, title="NOBODY"), "frames.nut has metadata that no recorder writes: title"),
        (lambda f: (f / "NOBODY.txt").write_text("x"), "1 file or folder is no part of a recording"),
        (lambda f: (f / "session.spare").write_bytes(b"\0NOBODY"), "session.spare holds something"),
        (_log, "bus.log, key source: the path of a file"),
    ],
)
def test_what_is_planted_is_found_and_not_repeated(recorded: Path, plant: Callable[[Path], object], words: str) -> None:
    plant(recorded)
    report = find_identity(recorded)
    assert any(words in line for line in report.findings), report
    assert not any(SECRET in line for line in [*report.findings, *report.not_shown])


def test_the_name_of_the_machine_and_of_its_user_is_found(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "echo-room-7")
    monkeypatch.setattr(identity, "_user", lambda: "drnobody")
    _manifest(recorded, 'a = "recorded on ECHO-ROOM-7"\nb = "by drnobody"\nc = "drnobodyelse"')
    found = [line for line in find_identity(recorded).findings if "machine or of its user" in line]
    assert found == [f"session.toml, key {key}: the name of this machine or of its user" for key in "ab"]


def test_a_file_that_cannot_be_read_is_not_called_clean(recorded: Path) -> None:
    (recorded / "summary.json").write_bytes(b"{")
    assert any("summary.json cannot be read" in line for line in find_identity(recorded).not_shown)


def test_text_on_one_frame_of_many_is_found_where_every_frame_is_searched(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(20, 60, (20, 240, 320), np.uint8)
    images = [np.asarray(cv2.GaussianBlur(image, (5, 5), 0), np.uint8) for image in noise]
    cv2.putText(images[13], "NOBODY", (10, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 230, 1)
    frames = [make_frame(i, (240, 320), image=image) for i, image in enumerate(images)]
    record_session(tmp_path / "s", frames)

    class Reader:
        def find(self, image: np.ndarray) -> np.ndarray:
            return image > 220

    report = verify_session(tmp_path / "s", every_frame=True)
    assert (report.text_looked_at, report.text_read) == (20, None)
    assert 13 in report.text_suspected
    assert len(report.text_suspected) <= 15
    report = verify_session(tmp_path / "s", reader=Reader())
    assert report.text_read == [13]
    assert report.holds_identity


def test_images_of_two_sizes_are_searched_apart() -> None:
    text = EveryText()
    for index in range(6):
        text.add(index, index, np.zeros((32 + index // 3, 32), np.uint8))
    text.end()
    assert (text.looked_at, text.suspected) == (6, [])
