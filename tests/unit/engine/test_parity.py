"""Whether a fault in a back end is seen: in its tensors, and in what is decoded from them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from usassist.app.commands.left_out import group_reasons
from usassist.app.commands.main import main
from usassist.engine import EngineSpec, find_engine
from usassist.engine.comparison import compare
from usassist.engine.findings import Findings, compare_findings
from usassist.engine.parity import ParityReport, ParityRow, ParityState, check_parity
from usassist.engine.probe import probes
from usassist.engine.spec import DEFAULT_PARITY, TensorSpec
from usassist.errors import BackendUnavailableError, EngineNotFoundError, EngineSpecError, RecordError, UsageError

Outputs = dict[str, np.ndarray]
FOLDER = "tiny/1.2.3"


def decode(outputs: Mapping[str, Any]) -> Findings:
    """One finding where `doubled` is above 1; its score is half the largest value."""
    mask = outputs["doubled"][0, 0] > 1.0
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return Findings(label_id=np.empty(0, int), score=np.empty(0), boxes=np.empty((0, 4)), masks=())
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    score = [float(outputs["doubled"].max()) / 2]
    return Findings(label_id=np.zeros(1, int), score=np.array(score), boxes=np.array([box], float), masks=(mask,))


def _scaled(outputs: Outputs) -> Outputs:
    return outputs | {"doubled": outputs["doubled"] * np.float32(0.9)}


def _shifted(outputs: Outputs) -> Outputs:
    return outputs | {"doubled": np.roll(outputs["doubled"], 2, -2)}


def _swapped(outputs: Outputs) -> Outputs:
    return {"doubled": outputs["inverse"], "inverse": outputs["doubled"]}


def _one_nan(outputs: Outputs) -> Outputs:
    outputs["doubled"][0, 0, 1, 2] = np.nan
    return outputs


def _zeros(outputs: Outputs) -> Outputs:
    return {name: np.zeros_like(array) for name, array in outputs.items()}


def _one_value(outputs: Outputs) -> Outputs:
    outputs["inverse"][0, 0, 3, 5] += 1.0
    return outputs


FAULTS = [_scaled, _shifted, _swapped, _one_nan, _zeros]


def _row(report: ParityReport, backend: str, precision: str = "fp32") -> ParityRow:
    return next(row for row in report.rows if (row.backend, row.precision) == (backend, precision))


def test_back_ends_that_answer_alike_pass_and_those_that_cannot_run_say_why(tiny: Path) -> None:
    report = check_parity(find_engine("tiny", tiny), decode=decode, threads=1)
    assert report.ok
    assert (report.reference, report.reference_note, report.undecoded) == (("onnxruntime", "fp32"), "", "")
    for backend in ("openvino", "onnxruntime"):
        row = _row(report, backend)
        assert (row.state, row.failures) == (ParityState.PASSED, ())
        assert row.device == "CPU"
        assert row.comparison is not None
        assert row.comparison.probes == 11
        assert row.comparison.golden is not None
        assert (row.comparison.golden.findings, row.comparison.golden.min_dice) == (1, 1.0)
        assert {(item.output, item.kind) for item in row.comparison.outputs} == {
            (output, kind) for output in ("doubled", "inverse") for kind in ("golden", "varied", "random")
        }
    assert _row(report, "null").state is ParityState.COMPUTES_NOTHING
    assert all(row.reason for row in report.rows if row.state is ParityState.NOT_AVAILABLE)


@pytest.mark.parametrize("decoder", [decode, None])
@pytest.mark.parametrize("fault", [*FAULTS, _one_value])
def test_a_planted_fault_fails_in_fp32_by_its_tensors_alone(
    tiny: Path, faulty: Any, fault: Callable[[Outputs], Outputs], decoder: Any
) -> None:
    spec = find_engine("tiny", tiny)
    assert check_parity(spec, ("faulty",), decode=decoder).ok
    faulty.fault = fault
    report = check_parity(spec, ("faulty",), decode=decoder)
    assert not report.ok
    assert _row(report, "faulty").state is ParityState.FAILED
    assert all("\n" not in failure for failure in _row(report, "faulty").failures)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_in_a_rounded_precision_by_what_is_decoded_where_tensors_are_bounded_loosely(
    twin: Path, faulty: Any, fault: Callable[[Outputs], Outputs]
) -> None:
    _edit(twin, "{ doubled = 0.05, inverse = 0.05 }", "{ doubled = 9.0, inverse = 9.0 }")
    spec = find_engine("tiny", twin)
    report = check_parity(spec, ("faulty",), ("int8",), decode=decode)
    assert report.ok, report.rows
    faulty.fault = fault
    assert check_parity(spec, ("faulty",), ("int8",)).ok is (fault is not _one_nan)
    report = check_parity(spec, ("faulty",), ("int8",), decode=decode)
    assert not report.ok


def test_a_fault_on_other_inputs_than_the_golden_one_is_seen(tiny: Path, faulty: Any) -> None:
    calls = iter(range(100))
    faulty.fault = lambda outputs: _scaled(outputs) if next(calls) > 8 else outputs
    (row,) = check_parity(find_engine("tiny", tiny), ("faulty",)).rows
    assert row.state is ParityState.FAILED
    assert row.comparison is not None
    of_limit = {(item.output, item.kind): item.of_limit or 0.0 for item in row.comparison.outputs}
    assert of_limit["doubled", "golden"] == 0.0
    assert of_limit["doubled", "random"] > 1.0
    assert any("on input texture" in failure or "on input noise" in failure for failure in row.failures)


@pytest.mark.parametrize("kind", ["varied", "random"])
def test_bounds_on_variations_and_on_random_inputs_hold_for_each_apart(twin: Path, faulty: Any, kind: str) -> None:
    table = "\n[parity.int8]\nmin_dice = 0.5\nmin_box_iou = 0.5\nmax_score_diff = 0.5\n"
    _append(twin, table + f"{kind}_mean_abs_diff = {{ doubled = 0.0001, inverse = 9.0 }}\n")
    (row,) = check_parity(find_engine("tiny", twin), ("faulty",), ("int8",)).rows
    assert row.comparison is not None
    assert {item.kind for item in row.comparison.outputs if (item.of_limit or 0.0) > 1.0} == {kind}
    assert len(row.failures) == 1
    assert "doubled is" in row.failures[0]


def test_another_reference_is_taken_where_onnx_runtime_is_missing_and_the_report_says_so(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = check_parity(find_engine("tiny", tiny), ("openvino", "onnxruntime"))
    assert report.reference == ("openvino", "fp32")
    assert "pip install onnxruntime" in report.reference_note
    assert _row(report, "onnxruntime").state is ParityState.NOT_AVAILABLE
    monkeypatch.setattr("usassist.engine.parity.BACKENDS", {})
    with pytest.raises(BackendUnavailableError, match="nothing can be the reference for tiny"):
        check_parity(find_engine("tiny", tiny), ("openvino",))


def test_a_golden_input_that_shows_nothing_is_said_and_not_taken_for_agreement(tiny: Path) -> None:
    nothing = Findings(label_id=np.empty(0, int), score=np.empty(0), masks=())
    report = check_parity(find_engine("tiny", tiny), ("openvino",), decode=lambda outputs: nothing)
    assert "finds nothing in the golden input" in report.undecoded
    assert report.rows[0].comparison is not None
    assert (report.rows[0].comparison.golden, report.rows[0].comparison.others) == (None, None)
    assert "no decoder" in check_parity(find_engine("tiny", tiny), ("openvino",)).undecoded


def test_an_input_that_the_reference_cannot_answer_is_counted_and_compared_with_nothing(tiny: Path) -> None:
    path = tiny / FOLDER / "golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["image"] = arrays["image"] - np.float32(0.1)  # the first value is 0 now, and has no inverse
    arrays["image"][0, 0, 0, 0] = 0.0
    np.savez(path, **arrays)
    (row,) = check_parity(find_engine("tiny", tiny), ("openvino",)).rows
    assert row.comparison is not None
    assert "golden" in row.comparison.unanswered
    assert row.comparison.probes + len(row.comparison.unanswered) == 11
    assert any("not finite in inverse" in failure for failure in row.failures)


@pytest.mark.parametrize(("different", "passes"), [(0, True), (4, True), (5, False)])
def test_of_whole_numbers_the_share_that_differs_counts_and_not_by_how_much(
    tiny: Path, different: int, passes: bool
) -> None:
    labels = np.zeros((1, 40, 100), np.int32)
    other = labels.copy()
    other.ravel()[:different] = 77
    output = TensorSpec(name="labels", dtype="int32", shape=labels.shape, layout="NHW")
    spec = dataclasses.replace(find_engine("tiny", tiny), outputs=(output,))
    one, two = (
        SimpleNamespace(spec=spec, precision="fp32", verify=lambda: 0.0, infer=lambda inputs, answer=answer: answer)
        for answer in ({"labels": other}, {"labels": labels})
    )
    assert (compare(one, two).failures == ()) is passes  # type: ignore[arg-type]


def test_an_answer_of_another_shape_fails(tiny: Path, faulty: Any) -> None:
    output = TensorSpec(name="doubled", dtype="float32", shape=(1, 1, None, 6), layout="NCHW")
    spec = find_engine("tiny", tiny)
    spec = dataclasses.replace(spec, outputs=(output, spec.outputs[1]))
    assert check_parity(spec, ("faulty",)).ok
    faulty.fault = lambda outputs: outputs | {"doubled": outputs["doubled"][:, :, :3]}
    (row,) = check_parity(spec, ("faulty",)).rows
    assert any("doubled has shape (1, 1, 3, 6), the reference returns (1, 1, 4, 6)" in line for line in row.failures)


def test_names_that_do_not_exist_are_errors(tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    with pytest.raises(UsageError, match="no precision fp8"):
        check_parity(spec, precisions=("fp8",))
    with pytest.raises(EngineNotFoundError, match="known: auto"):
        check_parity(spec, ("openvno",))


# --- inputs


def test_random_inputs_are_the_same_for_a_seed_legal_and_not_all_alike(tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    first, again, other = (list(probes(spec, seed)) for seed in (3, 3, 4))
    assert [item.kind for item in first] == ["golden"] + ["varied"] * 6 + ["random"] * 4
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.inputs["image"], two.inputs["image"])
        assert one.inputs["image"].dtype == np.float32
        assert 0.0 <= one.inputs["image"].min() < one.inputs["image"].max() <= 1.0
    images = [item.inputs["image"].tobytes() for item in (*first, *other[1:])]
    assert len(set(images)) == len(images)
    textures = [item.inputs["image"] for item in first if item.name.startswith("texture")]
    assert all(np.ptp(image) > 0.9 for image in textures)


def test_random_inputs_lie_in_the_range_that_the_preprocessing_gives_each_channel(tiny: Path) -> None:
    spec = dataclasses.replace(
        find_engine("tiny", tiny),
        inputs=(TensorSpec(name="image", dtype="float32", shape=(1, 2, 4, 6), layout="NCHW"),),
        mean=(0.5, 0.25),
        std=(0.25, 0.5),
    )
    _golden(spec, image=np.stack([np.full((4, 6), -1.0), np.linspace(0, 1.5, 24).reshape(4, 6)])[None])
    for probe in probes(spec):
        low, high = ((value - np.array(spec.mean)) / np.array(spec.std) for value in (0.0, 1.0))
        for channel in range(2):
            values = probe.inputs["image"][0, channel]
            assert low[channel] - 1e-6 <= values.min() <= values.max() <= high[channel] + 1e-6, probe.name


def test_inputs_with_free_sides_get_their_usual_least_and_largest_shape_and_indices_keep_to_known_values(
    tiny: Path,
) -> None:
    spec = dataclasses.replace(
        find_engine("tiny", tiny),
        inputs=(
            TensorSpec(
                name="volume",
                dtype="float32",
                shape=(1, 1, None, 4),
                layout="NCDH",
                min_shape=(1, 1, 2, 4),
                opt_shape=(1, 1, 5, 4),
                max_shape=(1, 1, 9, 4),
            ),
            TensorSpec(name="kinds", dtype="int64", shape=(3,), layout="N"),
        ),
    )
    _golden(spec, volume=np.linspace(0, 300, 12).reshape(1, 1, 3, 4), kinds=np.array([7, 9, 7]))
    found = list(probes(spec))
    depths = [item.inputs["volume"].shape[2] for item in found if item.kind == "random"]
    assert depths == [5, 5, 5, 5, 2, 9]
    assert {item.inputs["volume"].shape[2] for item in found if item.kind != "random"} == {3}
    for probe in found:
        assert set(probe.inputs["kinds"].tolist()) <= {7, 9}
        assert probe.inputs["kinds"].dtype == np.int64
        assert 0 <= probe.inputs["volume"].min() <= probe.inputs["volume"].max() <= 300  # not the range of pictures


# --- findings


def _findings(*items: tuple[int, float, tuple[float, ...]]) -> Findings:
    return Findings(
        label_id=np.array([item[0] for item in items], int),
        score=np.array([item[1] for item in items]),
        boxes=np.array([item[2] for item in items]).reshape(len(items), -1),
    )


def test_findings_are_paired_by_overlap_whatever_their_order() -> None:
    left, right = (0.0, 0.0, 4.0, 4.0), (10.0, 0.0, 14.0, 4.0)
    apart = compare_findings(
        _findings((0, 0.9, left), (0, 0.8, right)), _findings((0, 0.81, right), (0, 0.9, left)), {}, 0
    )
    assert (apart.findings, apart.min_box_iou, apart.missing, apart.extra) == (2, 1.0, 0, 0)
    assert apart.max_score_diff == pytest.approx(0.01)


def test_a_box_in_three_dimensions_has_its_own_overlap() -> None:
    one, two = (0.0, 0.0, 0.0, 2.0, 2.0, 2.0), (1.0, 0.0, 0.0, 3.0, 2.0, 2.0)
    apart = compare_findings(_findings((0, 0.9, one)), _findings((0, 0.9, two)), {}, 0)
    assert apart.min_box_iou == pytest.approx(1 / 3)


def test_a_finding_without_partner_counts_unless_it_is_as_close_to_the_threshold_as_scores_may_differ() -> None:
    box = (0.0, 0.0, 4.0, 4.0)
    nothing = Findings(label_id=np.empty(0, int), score=np.empty(0), boxes=np.empty((0, 4)))
    near = compare_findings(_findings((0, 0.51, box)), nothing, {0: 0.5}, 0.02)
    assert (near.missing, near.borderline) == (0, 1)
    far = compare_findings(_findings((0, 0.53, box)), nothing, {0: 0.5}, 0.02)
    assert (far.missing, far.borderline) == (1, 0)
    other = compare_findings(_findings((0, 0.9, box)), _findings((1, 0.9, box)), {0: 0.5, 1: 0.5}, 0.02)
    assert (other.missing, other.extra, other.min_box_iou) == (1, 1, None)


def test_findings_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(RecordError, match="differ in length"):
        Findings(label_id=np.zeros(2, int), score=np.zeros(1), boxes=np.zeros((1, 4)))
    with pytest.raises(RecordError, match="boxes or masks"):
        Findings(label_id=np.zeros(1, int), score=np.zeros(1))


# --- engine.toml


def test_limits_of_engine_toml_take_the_place_of_the_defaults(tiny: Path) -> None:
    assert find_engine("tiny", tiny).parity_limits("fp16") is DEFAULT_PARITY["fp16"]
    _append(tiny, "\n[parity.fp16]\nmin_dice = 0.9\nmin_box_iou = 0.8\nmax_score_diff = 0\n")
    limits = find_engine("tiny", tiny).parity_limits("fp16")
    assert (limits.min_dice, limits.min_box_iou, limits.max_score_diff) == (0.9, 0.8, 0.0)
    assert find_engine("tiny", tiny).parity_limits("fp32").min_dice == 0.99


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("min_dice = 1.1", "min_dice and min_box_iou must be above 0"),
        ("max_score_diff = 1.0", "max_score_diff must be from 0"),
        ("random_mean_abs_diff = {doubled = 1.0}", "random_mean_abs_diff must name every output"),
        ("varied_mean_abs_diff = {doubled = 0.0, inverse = 1.0}", "every mean_abs_diff above 0"),
        ("surprise = 1", "unknown key surprise"),
    ],
)
def test_malformed_limits_are_refused(tiny: Path, line: str, message: str) -> None:
    values = {"min_dice": 0.9, "min_box_iou": 0.9, "max_score_diff": 0.1}
    lines = [f"{key} = {value}" for key, value in values.items() if not line.startswith(key)]
    _append(tiny, "\n".join(["", "[parity.int8]", *lines, line, ""]))
    with pytest.raises(EngineSpecError, match=message):
        find_engine("tiny", tiny)


# --- the command


def _command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["usassist", "engine", "verify", *words])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_command_ends_with_0_when_all_that_can_run_agree_and_says_each_reason_once(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("usassist.engine.registry.why_no_cuda", lambda: "there is no GPU in this test")
    code, out, _ = _command(monkeypatch, capsys, "all", "--engines", str(tiny), "--threads", "1")
    assert code == 0
    assert "openvino fp32" in out
    assert out.count("no GPU in this test") == 1
    assert "findings were not compared" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_the_command_ends_with_1_and_a_line_for_every_failure(
    tiny: Path, faulty: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty.fault = _zeros
    arguments = ("tiny", "--engines", str(tiny), "--backend", "faulty", "--threads", "1")
    code, out, _ = _command(monkeypatch, capsys, *arguments)
    assert code == 1
    assert "faulty fp32: inverse is " in out
    code, out, _ = _command(monkeypatch, capsys, *arguments, "--json")
    document = json.loads(out)
    assert (code, document["ok"]) == (1, False)
    (row,) = document["engines"][0]["rows"]
    assert (row["backend"], row["state"]) == ("faulty", "failed")
    assert row["failures"]


@pytest.mark.parametrize("backend", ["null", "tensorrt"])
def test_a_back_end_that_was_named_and_cannot_be_compared_is_a_failure(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    monkeypatch.setattr("usassist.engine.registry.why_no_cuda", lambda: "there is no GPU in this test")
    code, _, err = _command(monkeypatch, capsys, "tiny", "--engines", str(tiny), "--backend", backend)
    assert code == 1
    assert f"nothing can be compared here: {backend} fp32: " in err


def test_reasons_are_said_once_for_all_that_they_hold_for() -> None:
    here = "cannot run here: no GPU"
    items = [(name, precision, f"back end {name} {here}") for name in ("a", "b") for precision in ("fp32", "int8")]
    assert group_reasons([*items, ("c", "int8", "c does not run int8")]) == [
        ("a, b", "no GPU"),
        ("c int8", "c does not run int8"),
    ]


def _edit(engines: Path, before: str, after: str) -> None:
    path = engines / FOLDER / "engine.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def _append(engines: Path, text: str) -> None:
    with (engines / FOLDER / "engine.toml").open("a") as file:
        file.write(text)


def _golden(spec: EngineSpec, **arrays: np.ndarray) -> None:
    np.savez(spec.golden.path, **arrays)
