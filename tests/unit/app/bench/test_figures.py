from __future__ import annotations

import numpy as np
import pytest

from tests.samples import make_frame, make_result
from usassist.app.bench.figures import account_for, count_gaps, percentiles, stage_times_ns
from usassist.app.bench.result_collector import Results
from usassist.pipeline.summary import StageLog
from usassist.records import Cause, ResultState

STATES, CAUSES = tuple(ResultState), tuple(Cause)
PERIOD_NS = 40_000_000


def _results(
    ids: list[int], states: list[ResultState] | None = None, causes: list[Cause | None] | None = None
) -> Results:
    """Results of frames at 25 Hz; each stage takes another while."""
    rng = np.random.default_rng(0)
    count = len(ids)
    frame_id = np.array(ids, np.int64)
    steps = rng.integers(100_000, 30_000_000, (6, count))
    captured = frame_id * PERIOD_NS
    start, given, got, end, published = captured + np.cumsum(steps, axis=0)[1:]
    cause = [-1 if item is None else CAUSES.index(item) for item in causes or [None] * count]
    return Results(
        frame_id=frame_id,
        t_capture_ns=captured,
        t_start_ns=start,
        t_input_ns=given,
        t_output_ns=got,
        t_end_ns=end,
        t_publish_ns=published,
        state=np.array([STATES.index(item) for item in states or [ResultState.NO_FINDING] * count], np.int64),
        cause=np.array(cause, np.int64),
    )


def _frames(results: Results) -> dict[str, np.ndarray]:
    return {
        "frame_id": results.frame_id,
        "t_decoded_ns": results.t_capture_ns + 90_000,
        "t_cropped_ns": results.t_capture_ns + 95_000,
        "seq": np.arange(len(results)),
    }


def test_the_stages_of_a_frame_add_up_to_its_total() -> None:
    results = _results(list(range(200)))
    times = stage_times_ns(results, _frames(results))
    parts = ("decode", "crop", "wait", "preprocess", "infer", "postprocess", "publish")
    assert np.array_equal(sum(times[part] for part in parts), times["total"])
    assert np.array_equal(times["overhead"], times["total"] - times["infer"])


def test_without_a_recording_the_first_stages_are_one() -> None:
    results = _results(list(range(50)))
    times = stage_times_ns(results, None)
    assert "decode" not in times
    parts = ("until asked", "preprocess", "infer", "postprocess", "publish")
    assert np.array_equal(sum(times[part] for part in parts), times["total"])


def test_frames_that_were_never_asked_for_have_no_stages() -> None:
    results = _results([0, 1, 2])
    results.t_input_ns[1] = results.t_output_ns[1] = -1
    assert len(stage_times_ns(results, _frames(results))["total"]) == 2


def test_a_stream_counts_the_same_percentiles_in_its_histograms() -> None:
    results, log = _results(list(range(3000))), StageLog()
    frames = _frames(results)
    for place in range(len(results)):
        frame_id = int(results.frame_id[place])
        frame = make_frame(
            frame_id,
            t_capture_ns=int(results.t_capture_ns[place]),
            t_decoded_ns=int(frames["t_decoded_ns"][place]),
            t_cropped_ns=int(frames["t_cropped_ns"][place]),
        )
        result = make_result(
            frame_id,
            ResultState.NO_FINDING,
            t_capture_ns=frame.t_capture_ns,
            t_infer_start_ns=int(results.t_start_ns[place]),
            t_input_ns=int(results.t_input_ns[place]),
            t_output_ns=int(results.t_output_ns[place]),
            t_infer_end_ns=int(results.t_end_ns[place]),
        )
        log.add(frame, result, int(results.t_publish_ns[place]))
    exact = {stage: percentiles(times) for stage, times in stage_times_ns(results, frames).items()}
    counted = log.summary()
    assert counted.keys() == exact.keys()
    for stage, row in counted.items():
        mine = exact[stage]
        assert mine is not None
        assert row["count"] == mine["count"]
        assert row["max_ms"] == pytest.approx(mine["max_ms"], abs=0.001)
        for name in ("p50_ms", "p95_ms", "p99_ms"):
            assert row[name] == pytest.approx(mine[name], rel=0.02, abs=0.003), (stage, name)


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles(np.empty(0)) is None


def test_every_frame_with_a_result_is_accounted_for() -> None:
    states = [ResultState.FINDING, ResultState.NO_FINDING, ResultState.NO_RESULT, ResultState.NO_FINDING]
    results = _results([4, 5, 6, 7], states, [None, None, Cause.DROPPED, None])
    accounts = account_for(results, rate_hz=25.0, frame_ids=np.array([3, 4, 5, 6, 7, 8]))
    assert (accounts.due, accounts.frames, accounts.not_taken, accounts.unaccounted) == (4, 4, 0, 0)
    assert accounts.by_cause == {"dropped": 1}
    assert accounts.without_own_percent == 25.0


def test_a_frame_without_a_result_is_found() -> None:
    accounts = account_for(_results([0, 1, 3]), rate_hz=25.0, frame_ids=np.array([0, 1, 2, 3]))
    assert accounts.unaccounted == 1
    assert accounts.not_taken == 1


def test_a_result_that_was_lost_on_its_way_here_is_a_gap() -> None:
    assert account_for(_results([0, 1, 3]), rate_hz=25.0, gaps=1, frame_ids=np.array([0, 1, 2, 3])).unaccounted == 0


def test_a_frame_that_the_source_skipped_needs_no_result() -> None:
    assert account_for(_results([0, 1, 3]), rate_hz=25.0, frame_ids=np.array([0, 1, 3])).unaccounted == 0
    assert account_for(_results([0, 1, 3]), rate_hz=25.0, skipped=1).unaccounted == 0
    assert account_for(_results([0, 1, 3]), rate_hz=25.0, skipped=0).unaccounted == 1


def test_two_results_of_one_frame_and_one_of_no_frame_are_found() -> None:
    assert account_for(_results([0, 1, 1, 2]), rate_hz=25.0, frame_ids=np.array([0, 1, 2])).unaccounted == 1
    assert account_for(_results([0, 1, 2]), rate_hz=25.0, frame_ids=np.array([0, 2])).unaccounted == 1
    assert account_for(_results([0, 1, 2]), rate_hz=25.0, frame_gaps=1, frame_ids=np.array([0, 2])).unaccounted == 0


def test_frames_that_the_input_did_not_deliver_count_as_without_a_result() -> None:
    accounts = account_for(_results([0, 1, 2, 9]), rate_hz=25.0, frame_ids=np.array([0, 1, 2, 9]))
    assert accounts.due == 10
    assert accounts.without_own_percent == 60.0


def test_nothing_is_accounted_for_as_nothing() -> None:
    assert account_for(_results([]), rate_hz=25.0).due == 0


def test_gaps_are_missing_numbers_and_duplicates_are_allowed() -> None:
    assert count_gaps(np.array([3, 4, 4, 7, 8])) == 2
    assert count_gaps(np.empty(0, np.int64)) == 0


def test_a_frame_on_which_the_engine_abstained_has_its_own_verdict_and_is_counted_by_cause() -> None:
    states = [ResultState.FINDING, ResultState.NO_RESULT, ResultState.NO_RESULT, ResultState.NO_FINDING]
    results = _results([0, 1, 2, 3], states, [None, Cause.OUT_OF_DOMAIN, Cause.ENGINE_ERROR, None])
    accounts = account_for(results, rate_hz=25.0)
    assert accounts.by_cause == {"out_of_domain": 1, "engine_error": 1}
    assert (accounts.by_state["no_result"], accounts.without_own_percent) == (2, 25.0)
