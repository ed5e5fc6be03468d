"""What `engine list` and `doctor` say of this processor and of the order in which `auto` takes back ends on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from usassist.app.commands import doctor, report
from usassist.app.commands.speed_report import processor_words, speed_words
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
def test_a_processor_is_told_with_what_matters(features: tuple[str, ...], limits: tuple[str, ...], words: str) -> None:
    processor = Processor(vendor="V", name="P", generation="", features=features, limits=limits)
    assert processor_words(processor) == words


def test_the_order_is_one_line_with_what_is_passed_over_and_why() -> None:
    assert speed_words(_speeds(RIGHT, WRONG)) == (
        "onnxruntime fp32 8.7 ms, on 2 threads, measured 2026-11-30; "
        "openvino int8 is passed over: it misses its golden output"
    )
    assert "not kept, this machine is busy" in speed_words(_speeds(RIGHT, steady=False))
    assert speed_words(_speeds(WRONG)).startswith("nothing answers right, on 2 threads")


def test_doctor_measures_where_nothing_is_kept_and_says_when_nothing_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_engine("thyroid_nodule")
    monkeypatch.setattr("usassist.engine.speed.load_speeds", lambda _spec: None)
    for rows, ok in (((RIGHT, WRONG), True), ((WRONG,), False)):
        monkeypatch.setattr("usassist.engine.speed.measure_speeds", lambda _spec, rows=rows: _speeds(*rows))
        finding = doctor._order(spec)
        assert (finding.what, finding.ok, finding.needed) == ("order for thyroid_nodule", ok, False)
        assert finding.detail == speed_words(_speeds(*rows))
    monkeypatch.setattr("usassist.engine.speed.load_speeds", lambda _spec: _speeds(RIGHT))
    monkeypatch.setattr("usassist.engine.speed.measure_speeds", None)
    assert doctor._order(spec).ok


def test_engine_list_tells_what_is_kept_and_does_not_offer_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))
    (engine,) = report.engine_table()["engines"]
    assert engine["speeds"] is None
    from usassist.engine import speed

    spec = find_engine("thyroid_nodule")
    document = {"measured": "2026-11-30T12:00:00+00:00", "threads": 2, "steady": True}
    rows = [{name: getattr(row, name) for name in Speed.__slots__} for row in (RIGHT, WRONG)]
    open_cache().store(speed._key(spec, 0), json.dumps(document | {"rows": rows}).encode(), {})
    table = report.engine_table()
    (engine,) = table["engines"]
    assert engine["auto"] == "onnxruntime fp32"
    assert [row["backend"] for row in engine["speeds"]["rows"]] == ["onnxruntime", "openvino"]
    json.dumps(table)
    report.print_engine_table(table)
    text = " ".join(capsys.readouterr().out.split())
    assert "onnxruntime fp32 8.7 ms, on 2 threads" in text
    assert f"processor: {processor_words()}" in text
