"""What two results may differ by, and what is told of frames that cannot be compared."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

from tests.samples import DESCRIBED, ellipse_contour, make_frame, make_result
from usassist.app.rerun.compare import compare_sessions
from usassist.app.rerun.fields import COMPARED, IGNORED, FieldVerdict, Rules, compare_fields
from usassist.app.rerun.machine import same_kind_of_processor, why_within_tolerances
from usassist.app.rerun.outcome import Side
from usassist.app.rerun.plan import split_backend
from usassist.app.rerun.sheet import MAX_FRAMES, draw_contact_sheet, write_contact_sheet
from usassist.bus.codec import _Header
from usassist.engine.spec import DEFAULT_PARITY
from usassist.errors import SessionError
from usassist.frames import measure
from usassist.records import Cause, Descriptor, Measurements, Result, ResultState, Segmentation
from usassist.session import Manifest

EXACT = Rules(limits=None, thresholds={0: 0.5}, raw=lambda score, label_id: score)
TOLERANT = dataclasses.replace(EXACT, limits=DEFAULT_PARITY["int8"])


def _verdicts(recorded: Result, again: Result, rules: Rules) -> dict[str, FieldVerdict]:
    return {name: apart.verdict for name, apart in compare_fields(recorded, again, rules).items()}


def _moved(result: Result, by_px: float, score: float | None = None) -> Result:
    """The same with its outlines and boxes somewhere else."""
    segmentation = Segmentation.of([outline + np.float32(by_px) for outline in result.segmentation])
    detections = dataclasses.replace(
        result.detections,
        xyxy_px=result.detections.xyxy_px + np.float32(by_px),
        score=result.detections.score if score is None else np.full_like(result.detections.score, score),
    )
    return dataclasses.replace(
        result,
        segmentation=segmentation,
        detections=detections,
        measurements=measure(segmentation, (0.1, 0.1), 0.01, 0.05),
    )


def test_every_field_of_a_result_is_compared_or_has_a_reason_not_to_be() -> None:
    compared = {name for names in COMPARED.values() for name in names}
    fields = {field.name for field in dataclasses.fields(Result)}
    envelope = {"seq", "t_publish_ns"}
    assert envelope <= set(_Header.__struct_fields__)
    assert compared | set(IGNORED) == fields | envelope
    assert not compared & set(IGNORED)
    assert all(len(reason) > 10 for reason in IGNORED.values())


def test_the_same_result_of_another_run_is_identical() -> None:
    recorded = make_result(3, descriptors=DESCRIBED)
    again = dataclasses.replace(
        recorded, session_id="other", t_capture_ns=9, t_infer_start_ns=10, t_infer_end_ns=11, frames_dropped=0
    )
    assert set(_verdicts(recorded, again, EXACT).values()) == {FieldVerdict.IDENTICAL}
    assert set(_verdicts(recorded, again, EXACT)) == set(COMPARED)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda result: _moved(result, 2.0), "outline"),
        (lambda result: _moved(result, 2.0), "box"),
        (lambda result: _moved(result, 0.0, score=0.875000119), "score"),
        (lambda result: dataclasses.replace(result, calibration_id="other"), "frame"),
        (lambda result: dataclasses.replace(result, image_hw_px=(49, 64)), "frame"),
        (lambda result: make_result(3, ResultState.NO_FINDING), "state"),
        (lambda result: make_result(3, ResultState.NO_FINDING), "findings"),
        (
            lambda result: dataclasses.replace(
                result, measurements=dataclasses.replace(result.measurements, major_mm=np.ones(1, np.float32))
            ),
            "sizes",
        ),
        (
            lambda result: dataclasses.replace(
                result, descriptors=((Descriptor(name="echogenicity", value="hypoechoic", probability=0.7500001),),)
            ),
            "descriptors",
        ),
        (
            lambda result: dataclasses.replace(
                result, detections=dataclasses.replace(result.detections, track_id=np.ones(1, np.int32))
            ),
            "findings",
        ),
    ],
)
def test_the_smallest_change_differs_where_results_must_be_equal(change: Any, field: str) -> None:
    recorded = make_result(3, descriptors=DESCRIBED)
    assert _verdicts(recorded, change(recorded), EXACT)[field] is FieldVerdict.DIFFERS


def test_columns_that_a_recording_from_before_does_not_have_are_not_compared_and_those_it_has_are() -> None:
    recorded = make_result(3)
    names = Measurements.PIXEL_COLUMNS + Measurements.MILLIMETRE_COLUMNS
    old = Measurements(**{name: getattr(recorded.measurements, name) for name in names})
    before = dataclasses.replace(recorded, measurements=old)
    assert set(_verdicts(before, recorded, EXACT).values()) == {FieldVerdict.IDENTICAL}
    assert _verdicts(recorded, before, EXACT)["sizes"] is FieldVerdict.DIFFERS
    for name, value in (
        ("perimeter_px", np.ones(1, np.float32)),
        ("cut", np.ones(1, np.uint8)),
        ("minor_ends_xy_px", np.ones((1, 2, 2), np.float32)),
    ):
        other = dataclasses.replace(recorded.measurements, **{name: value})
        again = dataclasses.replace(recorded, measurements=other)
        assert _verdicts(recorded, again, EXACT)["sizes"] is FieldVerdict.DIFFERS


def test_within_the_tolerances_of_the_parity_is_no_difference_and_sizes_have_no_bound() -> None:
    recorded = make_result(3)
    near = _moved(recorded, 0.0, score=0.84)
    near = dataclasses.replace(near, segmentation=Segmentation.of([ellipse_contour((30, 20), (12, 9))]))
    near = dataclasses.replace(near, measurements=measure(near.segmentation, (0.1, 0.1), 0.01, 0.05))
    verdicts = _verdicts(recorded, near, TOLERANT)
    assert verdicts["score"] is verdicts["outline"] is FieldVerdict.WITHIN
    assert verdicts["state"] is verdicts["findings"] is FieldVerdict.IDENTICAL
    assert verdicts["sizes"] is FieldVerdict.NOT_BOUNDED
    far = _verdicts(recorded, _moved(recorded, 4.0, score=0.7), TOLERANT)
    assert far["score"] is far["box"] is far["outline"] is FieldVerdict.DIFFERS


def test_a_finding_near_its_threshold_may_come_and_go_within_tolerances_but_a_clear_one_may_not() -> None:
    nothing = make_result(3, ResultState.NO_FINDING)
    for score, verdict in ((0.52, FieldVerdict.WITHIN), (0.9, FieldVerdict.DIFFERS)):
        found = _moved(make_result(3), 0.0, score=score)
        for pair in ((found, nothing), (nothing, found)):
            verdicts = _verdicts(*pair, TOLERANT)
            assert verdicts["findings"] is verdicts["state"] is verdict


def test_no_result_is_never_within_tolerance_of_a_finding() -> None:
    found = _moved(make_result(3), 0.0, score=0.51)
    failed = make_result(3, ResultState.NO_RESULT, cause=Cause.ENGINE_ERROR)
    assert _verdicts(found, failed, TOLERANT)["state"] is FieldVerdict.DIFFERS
    no_finding = make_result(3, ResultState.NO_FINDING)
    assert _verdicts(no_finding, failed, TOLERANT)["state"] is FieldVerdict.DIFFERS


def test_a_finding_that_moved_away_altogether_has_no_partner() -> None:
    verdicts = _verdicts(make_result(3), _moved(make_result(3, hw=(200, 200)), 0.0), EXACT)
    assert verdicts == {"frame": FieldVerdict.DIFFERS}
    recorded = make_result(3, hw=(200, 200))
    verdicts = _verdicts(recorded, _moved(recorded, 100.0), EXACT)
    assert verdicts["findings"] is FieldVerdict.DIFFERS
    assert "outline" not in verdicts


def _side(results: list[Result], **changes: Any) -> Side:
    return Side(**({"frame_ids": tuple(range(6)), "results": tuple(results)} | changes))


def _compare(recorded: Side, again: Side, *, same_machine: bool = True) -> Any:
    return compare_sessions(recorded, again, EXACT, TOLERANT, same_machine=same_machine)


RESULTS = [make_result(number) for number in range(6)]


def test_equal_sides_are_identical() -> None:
    outcome = _compare(_side(RESULTS), _side(RESULTS))
    assert outcome.identical
    assert (outcome.exact, outcome.tolerant, outcome.compared) == (6, 0, 6)
    assert outcome.as_dict()["ok"] is True


def test_another_back_end_or_machine_is_compared_within_tolerances() -> None:
    others = [dataclasses.replace(result, backend="onnxruntime") for result in RESULTS]
    for outcome in (
        _compare(_side(RESULTS), _side(others)),
        _compare(_side(RESULTS), _side(RESULTS), same_machine=False),
    ):
        assert outcome.ok
        assert not outcome.identical
        assert (outcome.exact, outcome.tolerant) == (0, 6)


def test_frames_without_an_answer_in_the_recording_are_counted_and_left_out() -> None:
    lost = {1: Cause.DROPPED, 2: Cause.INTERRUPTED}
    recorded = [
        make_result(number, ResultState.NO_RESULT, cause=lost[number]) if number in lost else make_result(number)
        for number in range(5)
    ] + [make_result(5, ResultState.STALE)]
    outcome = _compare(_side(recorded), _side(RESULTS))
    assert outcome.ok
    assert outcome.compared == 3
    assert dict(outcome.left_out) == {"dropped": 1, "interrupted": 1, "late": 1}


@pytest.mark.parametrize("cause", [Cause.NOT_LIVE, Cause.DAMAGED])
def test_what_was_not_live_must_be_not_live_again(cause: Cause) -> None:
    frozen = make_result(2, ResultState.NO_RESULT, cause=cause, reason="because")
    recorded = [frozen if result.frame_id == 2 else result for result in RESULTS]
    outcome = _compare(_side(recorded), _side(RESULTS))
    assert [item.frame_id for item in outcome.differences] == [2]
    assert outcome.differences[0].description.startswith(f"{cause.replace('_', ' ')} became finding")
    assert _compare(_side(recorded), _side(recorded)).not_live == 1


def test_frames_with_covered_text_are_listed_apart_and_do_not_count() -> None:
    again = [_moved(result, 3.0) if result.frame_id == 4 else result for result in RESULTS]
    outcome = _compare(_side(RESULTS, covered=frozenset({4})), _side(again))
    assert outcome.ok
    assert (outcome.compared, outcome.covered_frames) == (5, 1)
    assert [item.frame_id for item in outcome.covered_differences] == [4]
    assert outcome.fields["outline"].verdicts[FieldVerdict.DIFFERS] == 0


@pytest.mark.parametrize(
    ("changes", "missing"),
    [({"gaps": {"result": 1}}, True), ({"broken_off": True}, False), ({}, False)],
)
def test_a_missing_result_is_no_fault_where_the_recording_counts_it(changes: dict, missing: bool) -> None:
    recorded = [result for result in RESULTS if result.frame_id != 2]
    outcome = _compare(_side(recorded, **changes), _side(RESULTS))
    assert outcome.ok is missing
    assert (outcome.missing or outcome.faults) == ["frame 2 with no result in the recording"]


def test_the_missing_end_of_an_unclosed_recording_is_reported() -> None:
    outcome = _compare(_side(RESULTS[:4], broken_off=True), _side(RESULTS))
    assert outcome.ok
    assert outcome.missing == ["2 frames (4, 5) with no result in the recording"]


def test_a_result_with_a_wrong_frame_number_is_found() -> None:
    recorded = [dataclasses.replace(result, frame_id=3) if result.frame_id == 2 else result for result in RESULTS]
    outcome = _compare(_side(recorded), _side(RESULTS))
    assert not outcome.ok
    assert outcome.faults == ["frame 3 has two results in the recording", "frame 2 with no result in the recording"]


def test_what_the_rerun_lacks_is_always_a_fault() -> None:
    outcome = _compare(_side(RESULTS, broken_off=True), _side(RESULTS[:5], frame_ids=(0, 1, 2, 3, 4, 5)))
    assert outcome.faults == ["frame 5 without a result in the rerun"]
    outcome = _compare(_side(RESULTS), _side(RESULTS[:5], frame_ids=(0, 1, 2, 3, 4)))
    assert outcome.faults == ["frame 5 in the recording and not in the rerun"]


def test_nothing_to_compare_is_not_success() -> None:
    lost = [make_result(number, ResultState.NO_RESULT) for number in range(6)]
    outcome = _compare(_side(lost), _side(RESULTS))
    assert not outcome.ok
    assert outcome.faults == ["no frame has an answer in both, so there is nothing to compare"]


def test_the_worst_frame_comes_first() -> None:
    again = list(RESULTS)
    again[1], again[4] = _moved(RESULTS[1], 1.0), _moved(RESULTS[4], 5.0)
    again[3] = make_result(3, ResultState.NO_FINDING)
    outcome = _compare(_side(RESULTS), _side(again))
    assert [item.frame_id for item in outcome.differences] == [3, 4, 1]
    assert outcome.fields["outline"].worst_frame == 4


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("openvino", ("openvino", "fp32")),
        ("openvino-int8", ("openvino", "int8")),
        ("tensorrt-rtx-fp16", ("tensorrt-rtx", "fp16")),
        ("onnxruntime-cuda", ("onnxruntime-cuda", "fp32")),
    ],
)
def test_the_name_of_a_back_end_in_a_result_gives_its_precision(label: str, parts: tuple[str, str]) -> None:
    assert split_backend(label) == parts


def _machine(**changes: Any) -> dict[str, Any]:
    kind = {"cpu_vendor": "V", "cpu_generation": "family 1", "cpu_features": ["avx", "avx2"], "cpu_limits": []}
    return {"cpu": "2 x A"} | kind | changes


def _manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "schema": (2, 1),
        "session_id": "s",
        "complete": True,
        "state": "ended",
        "created_utc": "",
        "frames": 1,
        "results": 1,
        "recording": "closed",
        "versions": {"numpy": "2", "openvino": "2026", "usassist": "0.1", "pyzmq": "1"},
        "machine": _machine(),
    }
    return Manifest(**(values | changes))


def test_only_another_kind_of_processor_or_library_or_file_excuses_other_bits() -> None:
    recorded = _manifest()
    assert why_within_tolerances(recorded, _manifest(machine=_machine(cpu="64 x A"))) == ""
    other = {"numpy": "2", "openvino": "2027", "usassist": "0.2", "pyzmq": "2"}
    assert why_within_tolerances(recorded, _manifest(versions=other)) == "openvino 2026 then, 2027 now"
    engine = {"answered_by": ["engine.toml", "onnx_int8"], "artifacts": {"engine.toml": "1", "onnx_int8": "1"}}
    described = engine | {"artifacts": {"engine.toml": "2", "onnx_int8": "1"}}
    assert why_within_tolerances(_manifest(engines=(engine,)), _manifest(engines=(described,))) == ""
    rounded = engine | {"artifacts": {"engine.toml": "1", "onnx_int8": "2"}}
    why = why_within_tolerances(_manifest(engines=(engine,)), _manifest(engines=(rounded,)))
    assert why == "another onnx_int8 of the engine"
    parent = {"answered_by": ["onnx"], "artifacts": {"onnx": "1", "onnx_int8": "2"}}
    assert why_within_tolerances(_manifest(engines=(engine,)), _manifest(engines=(parent,))) == ""


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"cpu": "2 x B"}, "rerun on B (family 1: avx, avx2)"),
        ({"cpu_vendor": "W"}, "recorded on A"),
        ({"cpu_generation": "family 2"}, "rerun on A (family 2: avx, avx2)"),
        ({"cpu_features": ["avx", "avx2", "avx512f"]}, "rerun on A (family 1: avx, avx2, avx512f)"),
        ({"cpu_features": []}, "rerun on A (family 1: no features known)"),
        ({"cpu_limits": ["ONEDNN_MAX_CPU_ISA=AVX"]}, "rerun on A (family 1: avx, avx2, ONEDNN_MAX_CPU_ISA=AVX)"),
    ],
)
def test_every_part_of_the_kind_of_processor_counts(machine: dict[str, Any], words: str) -> None:
    recorded, again = _manifest(), _manifest(machine=_machine(**machine))
    assert same_kind_of_processor(recorded, recorded)
    assert not same_kind_of_processor(recorded, again)
    assert words in why_within_tolerances(recorded, again)


def test_of_a_recording_that_does_not_say_what_its_processor_can_do_nothing_is_taken_for_granted() -> None:
    for machine, name in (({"cpu": "2 x A"}, "A"), ({}, "a processor without a name")):
        old = _manifest(schema=(2, 0), machine=machine)
        assert not same_kind_of_processor(old, _manifest())
        assert why_within_tolerances(old, _manifest()).startswith(
            f"recorded on {name} (its features are not recorded), rerun on A"
        )
        assert not same_kind_of_processor(old, old)


def test_the_sheet_shows_each_frame_twice_with_its_own_outline(tmp_path: Any) -> None:
    again = [_moved(RESULTS[0], 6.0), *RESULTS[1:]]
    outcome = _compare(_side(RESULTS), _side(again))
    frame = make_frame(0)
    grey = np.full_like(frame.image, 40)
    sheet = draw_contact_sheet(outcome.differences, {0: grey}, "1 of 6 frames differs")
    body = sheet[44:]
    blue = np.argwhere((body == (255, 200, 60)).all(axis=-1))
    orange = np.argwhere((body == (40, 150, 255)).all(axis=-1))
    assert blue.size
    assert orange.size
    assert blue[:, 1].max() < orange[:, 1].min()
    write_contact_sheet(tmp_path / "new" / "sheet.png", outcome.differences, {0: grey}, "t")
    assert cv2.imread(str(tmp_path / "new" / "sheet.png")).shape == sheet.shape
    with pytest.raises(SessionError, match="name another --sheet"):
        write_contact_sheet(tmp_path / "new", outcome.differences, {0: grey}, "t")


def test_the_sheet_shows_at_most_twelve_frames() -> None:
    many = tuple(make_result(number) for number in range(20))
    moved = tuple(_moved(result, 2.0) for result in many)
    ids = tuple(range(20))
    outcome = _compare(Side(frame_ids=ids, results=many), Side(frame_ids=ids, results=moved))
    assert len(outcome.differences) == 20
    sheet = draw_contact_sheet(outcome.differences, {}, "t")
    assert sheet.shape == draw_contact_sheet(outcome.differences[:MAX_FRAMES], {}, "t").shape


def _followed(*pairs: tuple[int, int | None], moved: tuple[int, ...] = ()) -> Side:
    """Answers of frames that follow others; those that are named in `moved` lie somewhere else."""
    results = [make_result(frame_id, follows_frame_id=follows) for frame_id, follows in pairs]
    return Side(
        frame_ids=tuple(frame_id for frame_id, _ in pairs),
        results=tuple(_moved(result, 2.0) if result.frame_id in moved else result for result in results),
    )


def test_answers_that_depend_on_frames_that_are_not_in_the_recording_do_not_count() -> None:
    recorded = _followed((0, None), (1, 0), (5, 4), (6, 5), (7, 6), (8, 7), (9, 8))
    rerun = [(0, None), (1, 0), (5, None), (6, 5), (7, 6), (8, 7), (9, 8)]
    outcome = compare_sessions(
        recorded, _followed(*rerun, moved=(5,)), EXACT, EXACT, same_machine=True, memory_frames=2
    )
    assert outcome.ok
    assert (outcome.exact, outcome.unsettled_frames) == (4, 3), (
        "5 differs, 6 and 7 agree: both remember the same from 8"
    )
    assert [item.frame_id for item in outcome.unsettled_differences] == [5]
    assert outcome.as_dict()["unsettled"]["frames_compared"] == 3
    later = compare_sessions(
        recorded, _followed(*rerun, moved=(5, 8)), EXACT, EXACT, same_machine=True, memory_frames=2
    )
    assert [item.frame_id for item in later.differences] == [8]


def test_after_all_was_forgotten_answers_count_again() -> None:
    recorded = _followed((0, None), (5, 4), (6, None), (7, 6))
    again = _followed((0, None), (5, None), (6, None), (7, 6), moved=(5, 6))
    outcome = compare_sessions(recorded, again, EXACT, EXACT, same_machine=True, memory_frames=9)
    assert (outcome.exact, outcome.unsettled_frames) == (3, 1)
    assert [item.frame_id for item in outcome.differences] == [6]


def test_what_follows_a_frame_with_covered_text_does_not_count() -> None:
    recorded = dataclasses.replace(_followed((0, None), (1, 0), (2, 1), (3, 2), (4, 3)), covered=frozenset({1}))
    again = _followed((0, None), (1, 0), (2, 1), (3, 2), (4, 3), moved=(1, 2))
    outcome = compare_sessions(recorded, again, EXACT, EXACT, same_machine=True, memory_frames=1)
    assert outcome.ok
    assert (outcome.exact, outcome.covered_frames, outcome.unsettled_frames) == (2, 1, 2)


def test_whether_a_frame_has_an_answer_counts_whatever_is_remembered() -> None:
    recorded = _followed((0, None), (5, 4), (6, 5), (7, 6))
    silent = {"cause": Cause.OUT_OF_DOMAIN, "reason": "not thyroid", "t_infer_start_ns": 4, "t_infer_end_ns": 5}
    abstains = make_result(6, ResultState.NO_RESULT, **silent)
    answers = _followed((0, None), (5, None), (6, 5), (7, None)).results
    again = dataclasses.replace(recorded, results=(*answers[:2], abstains, answers[3]))
    outcome = compare_sessions(recorded, again, EXACT, EXACT, same_machine=True, memory_frames=9)
    assert [item.frame_id for item in outcome.differences] == [6]
    assert (outcome.exact, outcome.unsettled_frames) == (2, 2)
    both = dataclasses.replace(recorded, results=(*answers[:2], abstains, make_result(7)))
    outcome = compare_sessions(both, both, EXACT, EXACT, same_machine=True, memory_frames=9)
    assert (outcome.exact, outcome.unsettled_frames) == (4, 0), "both have forgotten all at 6"
