"""An optional field is added to a copy of the package, by the steps of ``docs/bus.md``, "Add a field".

The copy stands for the next release, and this package for the one before: two files and the table of versions are
changed, and the field travels from the source to a rerun of its recording.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import usassist
from tests.recordings import record_session
from tests.samples import make_frame, make_result
from usassist.bus import TOPICS, decode, frame_from, result_from
from usassist.bus.codec import encode_frame, encode_result
from usassist.records import Frame, Result
from usassist.session import open_session, whole_message
from usassist.session.verify import verify_session

HERE = Path(__file__).parents[2]
COUNT = 4

# What the steps say: the definition, the place that gives the value, the table of versions.
CHANGES = {
    "frame": {
        "records/frame.py": (
            r"    picture: SignalState = field\(",
            "    gain_db: float | None = field(default=None, metadata=travels(since=(1, {minor})))\n",
        ),
        "sources/paced.py": (r"            frame_id=frame_id,\n", "            gain_db=40.5 + frame_id,\n"),
    },
    "result": {
        "records/result.py": (
            r"    t_input_ns: Int64 \| None = field\(",
            "    queue_length: Int64 | None = field(default=None, metadata=travels(since=(1, {minor})))\n",
        ),
        "pipeline/stream_output.py": (
            r"            engine_id=self\._engine_body",
            "            queue_length=frame.frame_id + 7,\n",
        ),
    },
}

# What the new package reads in a recording, and in messages.
LOOK = """
import json, sys
from usassist.bus import decode, frame_from, result_from
from usassist.session import open_session, whole_message
session = open_session(sys.argv[1])
lines = list(session.lines())
log = [whole_message(record) for record in session.messages()]
print(json.dumps({
    "frame lines": [line.frame.gain_db for line in lines],
    "result lines": [line.result.get("queue_length") for line in lines],
    "frame messages": [frame_from(m).gain_db for m in log if m.topic.name == "frame"],
    "result messages": [result_from(m).queue_length for m in log if m.topic.name == "result"],
}))
"""
ENCODE = """
import sys
from pathlib import Path
from tests.samples import make_frame, make_result
from usassist.bus.codec import encode_frame, encode_result
Path(sys.argv[1]).write_bytes(encode_frame(make_frame(1, gain_db=3.5), 0, 0))
Path(sys.argv[2]).write_bytes(encode_result(make_result(1, queue_length=9), 0, 0))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python with the next release: a copy of the package with two more fields."""
    root = tmp_path_factory.mktemp("newer")
    package = root / "usassist"
    shutil.copytree(Path(usassist.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("engines", "calibration", "demo", "bench", "tests"):
        (root / name).symlink_to(HERE / name)
    for topic, files in CHANGES.items():
        major, minor = TOPICS[topic].version
        for name, (before, added) in files.items():
            _insert(package / name, before, added.format(minor=minor + 1))
        table = package / "bus" / "topics.py"
        row, new_row = (f'Topic(name="{topic}", version=({major}, {number})' for number in (minor, minor + 1))
        assert table.read_text().count(row) == 1
        table.write_text(table.read_text().replace(row, new_row))
    run_folder = tmp_path_factory.mktemp("run")
    run_folder.chmod(0o700)
    keep = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment = keep | {"XDG_RUNTIME_DIR": str(run_folder), "PYTHONPATH": str(root)}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def recording(newer: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that the next release has recorded."""
    folder = tmp_path_factory.mktemp("recorded") / "session"
    newer("-m", "usassist", "replay", "null:", "--fast", "--count", COUNT, "--out", folder)
    return folder


def _insert(path: Path, before: str, added: str) -> None:
    text = path.read_text()
    (found,) = re.finditer(before, text)
    path.write_text(text[: found.start()] + added + text[found.start() :])


def _looked_at(newer: Run, folder: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = json.loads(newer("-c", LOOK, folder).stdout)
    return found


def test_a_new_field_is_in_lines_and_messages_of_a_recording_and_of_its_rerun(
    newer: Run, recording: Path, tmp_path: Path
) -> None:
    gains, lengths = [40.5 + i for i in range(COUNT)], [7 + i for i in range(COUNT)]
    expected = {
        "frame lines": gains,
        "result lines": lengths,
        "frame messages": gains,
        "result messages": lengths,
    }
    assert _looked_at(newer, recording) == expected
    again = tmp_path / "again"  # its frames come from frames.jsonl of the recording
    newer("-m", "usassist", "rerun", recording, "--diff", "--out", again)
    assert _looked_at(newer, again) == expected


def test_a_reader_that_does_not_know_the_field_reads_the_rest(newer: Run, recording: Path, tmp_path: Path) -> None:
    paths = tmp_path / "frame", tmp_path / "result"
    newer("-c", ENCODE, *paths)
    frame, result = (_record_of(path) for path in paths)
    assert (frame.frame_id, result.frame_id) == (1, 1)
    assert not hasattr(frame, "gain_db")
    assert not hasattr(result, "queue_length")
    session = open_session(recording)
    assert len(session.frames) == COUNT
    assert all("gain_db" in json.loads(raw) for raw in (recording / "frames.jsonl").read_text().splitlines())
    assert len([whole_message(record) for record in session.messages()]) >= 2 * COUNT
    assert verify_session(recording).problems == []


def _record_of(path: Path) -> Frame | Result:
    message = decode(path.read_bytes())
    return frame_from(message) if message.topic.name == "frame" else result_from(message)


def test_recordings_and_messages_of_before_are_read_with_the_default(newer: Run, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    record_session(folder, [make_frame(i, t_capture_ns=33_333_333 * i) for i in range(2)])
    nothing = [None, None]
    assert _looked_at(newer, folder) == dict.fromkeys(
        ("frame lines", "result lines", "frame messages", "result messages"), nothing
    )
    verified = newer("-m", "usassist", "session", "verify", folder)
    assert "gain" not in verified.stdout


def test_a_field_that_has_its_default_is_left_out_of_lines(newer: Run, tmp_path: Path) -> None:
    script = (
        "from tests.samples import make_frame, make_result\n"
        "from usassist.sinks.lines import result_line\n"
        "print('queue_length' in result_line(make_result(), None, 0), "
        "'queue_length' in result_line(make_result(queue_length=2), None, 0))\n"
    )
    assert newer("-c", script).stdout.split() == ["False", "True"]


def test_the_bytes_of_a_message_of_before_are_the_beginning_of_the_new_one(newer: Run, tmp_path: Path) -> None:
    """The new key stands behind those that were there: nothing before it moves."""
    paths = tmp_path / "frame", tmp_path / "result"
    newer("-c", ENCODE, *paths)
    for path, before in zip(
        paths, (encode_frame(make_frame(1), 0, 0), encode_result(make_result(1), 0, 0)), strict=True
    ):
        body = bytes(before).split(b'"body":', 1)[1].split(b',"buffers"', 1)[0].removesuffix(b"}")
        assert body in path.read_bytes()
