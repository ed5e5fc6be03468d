"""The queue over DICOMweb: an Orthanc that is killed in the middle has each object exactly once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from tests.clinic.objects import write_object
from tests.clinic.orthanc import running_orthanc
from tests.clinic.tcp_proxy import tcp_proxy
from usassist.dicom.network.archives import open_archive
from usassist.dicom.network.drain import Event, drain
from usassist.dicom.network.nodes import WebNode
from usassist.dicom.network.queue import SendQueue
from usassist.dicom.network.send_files import files_below, look_at

pytest.importorskip("dicomweb_client", reason="needs the extra dicom")


def test_a_hundred_objects_arrive_once_although_orthanc_is_killed_and_an_answer_is_lost(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    series = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    uids = [write_object(source / f"{number:03d}.dcm", **series) for number in range(100)]
    queue = SendQueue(tmp_path / "queue", "web")
    queue.add(look_at(files_below([source])).instances)
    kinds: Counter[str] = Counter()
    pauses = 0
    with running_orthanc(tmp_path / "orthanc") as orthanc, tcp_proxy(orthanc.http_port) as proxy:
        node = WebNode(name="web", url=f"http://localhost:{proxy.port}/dicom-web", timeout_s=20.0)

        def tell(event: Event) -> None:
            kinds[event.kind] += 1
            if event.kind == "stored" and kinds["stored"] == 25:
                orthanc.kill()  # the other half is still to be sent

        def pause(_: float) -> None:
            nonlocal pauses
            pauses += 1
            if pauses == 1:
                orthanc.start()
                proxy.cut_after_bytes = 30_000  # and in the middle of the next request the connection ends
            elif pauses == 2:
                proxy.cut_after_bytes = None
            assert pauses < 20

        with queue.sending(wait=False):
            done = drain(queue, open_archive(node), wait=True, tell=tell, sleep=pause)
        held = orthanc.instances()
    assert Counter(held) == Counter(uids)
    assert (done.stored + done.present, done.refused, done.left) == (100, 0, 0)
    assert pauses >= 2
    assert queue.entries() == []
