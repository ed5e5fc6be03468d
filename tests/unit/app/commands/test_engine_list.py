"""This processor, and the order in which `auto` takes back ends on it, in `engine list` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from usassist.app.commands.engine_list import list_document, print_list
from usassist.app.runtime import self_check
from usassist.app.runtime.describe_speed import describe_processor, describe_speeds
from usassist.common.processor import Processor
from usassist.engine import find_engine
from usassist.engine.cache import open_cache
from usassist.engine.speed import Speed, Speeds

RIGHT = Speed(backend="onnxruntime", precision="fp32", p50_ms=8.71, ratio=1.0, rejected=None)
WRONG = Speed(backend="openvino", precision="int8", p50_ms=7.9, ratio=0.9, rejected="it misses its golden output")


def _speeds(*rows: Speed, steady: bool = True) -> Speeds:
    return Speeds(measured="2026-11-30T12:00:00+00:00", threads=2, steady=steady, rows=rows)


@pytest.mark.parametrize(
    ("features", "limits", "words"),
    [
        (("avx", "avx2"), (), "P with AVX2, no 8-bit dot products"),
        (("avx", "avx2", "avx512bw", "avx512_vnni"), (), "P with AVX-512, 8-bit dot products"),
        (
            ("avx", "avx2", "avx512bw"),
            ("ONEDNN_MAX_CPU_ISA=AVX2",),
            "P with AVX-512, no 8-bit dot products; limited by ONEDNN_MAX_CPU_ISA=AVX2",
        ),
        ((), (), "P"),
    ],
)
def test_a_processor_is_described_for_the_runtimes(
    features: tuple[str, ...], limits: tuple[str, ...], words: str
) -> None:
    processor = Processor(vendor="V", name="P", generation="", features=features, limits=limits)
    assert describe_processor(processor) == words


def test_the_order_is_one_line_with_what_is_skipped_and_why() -> None:
    assert describe_speeds(_speeds(RIGHT, WRONG)) == (
        "onnxruntime fp32 8.7 ms, on 2 threads, measured 2026-11-30; "
        "openvino int8 is skipped: it misses its golden output"
    )
    assert "not kept, this machine is busy" in describe_speeds(_speeds(RIGHT, steady=False))
    assert describe_speeds(_speeds(WRONG)).startswith("nothing answers correctly, on 2 threads")


def test_doctor_measures_without_a_stored_order_and_reports_wrong_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = find_engine("thyroid_nodule")
    monkeypatch.setattr("usassist.engine.speed.load_speeds", lambda _spec: None)
    for rows, ok in (((RIGHT, WRONG), True), ((WRONG,), False)):
        monkeypatch.setattr("usassist.engine.speed.measure_speeds", lambda _spec, rows=rows: _speeds(*rows))
        check = self_check._check_order(spec)
        assert (check.what, check.ok, check.needed) == ("order for thyroid_nodule", ok, False)
        assert check.detail == describe_speeds(_speeds(*rows))
    monkeypatch.setattr("usassist.engine.speed.load_speeds", lambda _spec: _speeds(RIGHT))
    monkeypatch.setattr("usassist.engine.speed.measure_speeds", None)
    assert self_check._check_order(spec).ok


def test_engine_list_shows_the_stored_order_and_skips_what_was_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))
    assert all(engine["speeds"] is None for engine in list_document()["engines"])
    from usassist.engine import speed

    spec = find_engine("thyroid_nodule")
    document = {"measured": "2026-11-30T12:00:00+00:00", "threads": 2, "steady": True}
    rows = [{name: getattr(row, name) for name in Speed.__slots__} for row in (RIGHT, WRONG)]
    open_cache().store(speed._key(spec, 0), json.dumps(document | {"rows": rows}).encode(), {})
    table = list_document()
    (engine,) = (item for item in table["engines"] if item["engine_id"] == spec.engine_id)
    assert engine["auto"] == "onnxruntime fp32"
    assert [row["backend"] for row in engine["speeds"]["rows"]] == ["onnxruntime", "openvino"]
    json.dumps(table)
    print_list(table)
    text = " ".join(capsys.readouterr().out.split())
    assert "onnxruntime fp32 8.7 ms, on 2 threads" in text
    assert f"processor: {describe_processor()}" in text
