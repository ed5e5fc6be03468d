"""``usassist pacs listen`` as a user runs it: Ctrl-C, and a kill in the middle of a study."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.clinic.objects import ULTRASOUND, an_object

pynetdicom = pytest.importorskip("pynetdicom", reason="needs the extra dicom")


@contextlib.contextmanager
def listening(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """The command, its port, and what it said when it began."""
    command = [sys.executable, "-m", "usassist", "pacs", "listen", "--folder", str(folder), "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            while (found := re.search(r"receiving as USASSIST@127\.0\.0\.1:(\d+)", said)) is None:
                line = process.stdout.readline()
                assert line, process.stderr.read() if process.stderr else ""
                said += line
            yield process, int(found[1]), said
        finally:
            process.kill()


@contextlib.contextmanager
def association(port: int) -> Iterator[Any]:
    entity = pynetdicom.AE(ae_title="SCANNER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.add_requested_context(ULTRASOUND, ExplicitVRLittleEndian)
    found = entity.associate("127.0.0.1", port, ae_title="USASSIST")
    try:
        yield found
    finally:
        if found.is_established:
            found.release()
        if found.dul.socket is not None and found.dul.socket.socket is not None:
            found.dul.socket.socket.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.dcm"))


def test_after_a_kill_every_confirmed_object_is_there_and_half_a_study_is_told(tmp_path: Path) -> None:
    folder, done, cut = tmp_path / "in", generate_uid(), generate_uid()
    confirmed: list[str] = []
    with listening(folder, "--quiet", "3600") as (process, port, _):
        with association(port) as sender:
            dataset = an_object(StudyInstanceUID=done)
            assert sender.send_c_store(dataset).Status == 0
            confirmed.append(f"{dataset.SOPInstanceUID}.dcm")
        with association(port) as sender:
            killer = threading.Timer(0.3, process.kill)
            killer.start()
            with contextlib.suppress(RuntimeError):  # there is no association any more
                for _ in range(100_000):
                    dataset = an_object(StudyInstanceUID=cut)
                    if sender.send_c_store(dataset).get("Status") != 0:
                        break
                    confirmed.append(f"{dataset.SOPInstanceUID}.dcm")
            killer.join()
    assert process.returncode == -signal.SIGKILL
    held = names(folder)
    assert set(confirmed) <= set(held)
    assert len(held) - len(confirmed) <= 1, "one whose answer was on its way"
    with listening(folder) as (process, port, said):
        assert f"a study is complete: usassist replay {folder / 'studies' / done}" in said
        with association(port) as sender:
            dataset = an_object(StudyInstanceUID=cut)
            assert sender.send_c_store(dataset).Status == 0
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0
    assert f"{len(held) - 1} objects of a study that was cut off are in {folder / 'incoming' / cut}" in errors
    assert f"a study is complete, 1 new objects: usassist replay {folder / 'studies' / cut}" in out
    assert set(names(folder / "studies")) == {*held, f"{dataset.SOPInstanceUID}.dcm"}
    assert not list(folder.rglob("*.tmp"))
    assert "Invented" not in out + errors
