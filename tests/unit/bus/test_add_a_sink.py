"""The sink in ``docs/bus.md`` works as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec

from tests.samples import CALIBRATED_ENGINE, SESSION, make_frame, make_result
from usassist.bus import Publisher, SessionState
from usassist.common.clock import MonotonicClock

PAGE = Path(__file__).parents[3] / "docs" / "bus.md"


def test_the_sink_of_the_page_prints_every_nodule_and_what_it_missed(tmp_path: Path) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Add a sink")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)
    address = f"ipc://{tmp_path}"
    publisher = Publisher(address, "us0", MonotonicClock())
    with subprocess.Popen([sys.executable, "-c", code, address], stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert publisher.wait_for_archives(1, 60, lambda: sink.poll() is None, of_pixels=0)
            publisher.event("session", SESSION)
            publisher.event("engine", CALIBRATED_ENGINE)
            for number in range(3):
                publisher.frame(make_frame(number))
                publisher.result(make_result(number))
            publisher.event("session", msgspec.structs.replace(SESSION, state=SessionState.ENDED, last_frame_id=2))
            output, _ = sink.communicate(timeout=60)
        finally:
            sink.kill()
            publisher.close()
    lines = output.splitlines()
    found = len(make_result(0).detections)
    assert [line.split()[0] for line in lines[:-1]] == [str(number) for number in range(3) for _ in range(found)]
    assert all(line.split()[1] == CALIBRATED_ENGINE.labels[0].name for line in lines[:-1])
    assert lines[-1] == "missed before the first: 0, after it: 0"
