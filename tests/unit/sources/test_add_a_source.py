"""The examples in ``docs/sources.md`` work as they are printed."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.in_thread import InThread
from usassist.common.clock import MonotonicClock
from usassist.errors import UsageError
from usassist.records import SignalState
from usassist.sources import SourceOptions, address, open_source
from usassist.sources.inputs import address as inputs_address
from usassist.sources.inputs.address import open_grabber
from usassist.sources.live import LiveSource

DOCUMENT = Path(__file__).parents[3] / "docs" / "sources.md"
CROP = (20, 20, 300, 220)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both examples as modules, with the lines that the page adds to the two tables."""
    text = DOCUMENT.read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    modules = re.findall(r"`\"(\w+)\": \"(usassist\.sources\.[\w.]+)\",`", text)
    tables = (address._MODULES, inputs_address._MODULES)
    assert [name for name, _ in modules] == ["ramp", "stripes"]
    monkeypatch.syspath_prepend(tmp_path)
    for (name, module), body, table in zip(modules, code, tables, strict=True):
        assert f"`{module.replace('.', '/')}.py`" in text
        (tmp_path / f"example_{name}.py").write_text(body, encoding="utf-8")
        monkeypatch.setitem(table, name, f"example_{name}")
    importlib.invalidate_caches()
    yield
    for name, _ in modules:
        sys.modules.pop(f"example_{name}", None)


@pytest.mark.usefixtures("examples")
def test_example_of_a_generator_plays_its_frames() -> None:
    with open_source("ramp:frames=3", session_id="s", fast=True) as source:
        frames = list(source.frames())
    assert [frame.frame_id for frame in frames] == [0, 1, 2]
    assert frames[0].image_hw_px == source.info.image_hw_px == (240, 320)
    assert [int(frame.image[0, 0]) for frame in frames] == [0, 2, 4]


@pytest.mark.usefixtures("examples")
def test_example_of_a_generator_repeats_crops_and_checks_its_address() -> None:
    with open_source("ramp:frames=2", session_id="s", fast=True, repeat=True, count=5, crop=CROP) as source:
        frames = list(source.frames())
    assert [int(frame.image[0, 0]) for frame in frames] == [20, 22, 20, 22, 20]
    assert {frame.image.shape for frame in frames} == {(200, 280)}
    for wrong in ("ramp:frames=0", "ramp:frames=x", "ramp:speed=3"):
        with pytest.raises(UsageError, match="write ramp:frames=50"):
            open_source(wrong, session_id="s")


@pytest.mark.usefixtures("examples")
def test_example_of_a_live_input_gives_live_frames() -> None:
    options = SourceOptions(session_id="s", clock=MonotonicClock(), crop=CROP, count=10)
    source = LiveSource(InThread(lambda: open_grabber("stripes:")), options, kind="stripes")
    with source:
        frames = list(islice(source.frames(), 10))
    assert {frame.image.shape for frame in frames} == {(200, 280)}
    assert {frame.picture for frame in frames} == {SignalState.LIVE}
    assert any(not np.array_equal(frames[0].image, frame.image) for frame in frames)
    assert source.info.description == "stripes, 320 x 240 px, 30 Hz"
    with pytest.raises(UsageError, match="write stripes:"):
        open_grabber("stripes:fast")
