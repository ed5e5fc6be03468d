from __future__ import annotations

import os

import numpy as np

from usassist.app.bench.isolation import ratio_interval
from usassist.app.bench.process_usage import UsageSample, find_capture, read_sample, usage_between
from usassist.app.bench.result_collector import Results
from usassist.app.bench.soak import SoakRun
from usassist.app.bench.soak_figures import as_dict, growth_of, judge
from usassist.records import ResultState
from usassist.sources.capture.process import CaptureProcess

MIB = 2**20


def _sample(place: int, rss_mb: float = 100.0, fds: int = 10, threads: int = 5, pid: int = 1) -> UsageSample:
    return UsageSample(
        pid=pid, t_ns=place * 10**9, cpu_s=0.5 * place, rss_bytes=round(rss_mb * MIB), fds=fds, threads=threads
    )


def _results(latency_ms: list[float]) -> Results:
    count = len(latency_ms)
    ids = np.arange(count, dtype=np.int64)
    captured = ids * 10_000_000
    published = captured + np.round(np.array(latency_ms) * 1e6).astype(np.int64)
    return Results(
        frame_id=ids,
        t_capture_ns=captured,
        t_start_ns=captured,
        t_input_ns=captured,
        t_output_ns=captured,
        t_end_ns=captured,
        t_publish_ns=published,
        state=np.full(count, tuple(ResultState).index(ResultState.NO_FINDING)),
        cause=np.full(count, -1),
    )


def _soaked(**changes: object) -> SoakRun:
    values: dict[str, object] = {
        "results": _results([10.0] * 2000),
        "samples": {"stream": [_sample(place) for place in range(100)]},
        "work": [],
        "unaccounted": 0,
        "passed_over": 0,
        "frames_recorded": 2000,
        "frames_missing": 0,
        "results_recorded": 2000,
        "results_missing": 0,
        "marks_made": 3,
        "marks_recorded": 3,
        "reconnects": 1,
        "viewers_seen": 1,
        "viewers_killed": 0,
        "recorders": 1,
        "meter_gaps": 0,
    }
    return SoakRun(**(values | changes))  # type: ignore[arg-type]


def test_a_run_in_which_all_is_well_breaks_nothing() -> None:
    judgement = judge(_soaked())
    assert judgement.broken == ()
    assert judgement.drift == 1.0
    assert as_dict(_soaked(), judgement)["frames"] == 2000


def test_memory_that_grows_after_the_warm_up_is_named() -> None:
    growing = {"panel": [_sample(place, rss_mb=100.0 + 0.1 * place) for place in range(100)]}
    (line,) = judge(_soaked(samples=growing)).broken
    assert line.startswith("panel has grown by 7.")


def test_memory_that_grows_in_the_warm_up_alone_is_not() -> None:
    samples = [_sample(place, rss_mb=min(100.0, 50.0 + 5.0 * place)) for place in range(100)]
    assert growth_of(samples) is not None
    assert judge(_soaked(samples={"stream": samples})).broken == ()


def test_files_and_threads_that_stay_open_are_named_and_those_that_come_and_go_are_not() -> None:
    coming = [_sample(place, fds=10 + place % 4, threads=5 + place % 3) for place in range(100)]
    assert judge(_soaked(samples={"panel": coming})).broken == ()
    leaking = [_sample(place, fds=10 + place // 30, threads=5 + place // 50) for place in range(100)]
    assert judge(_soaked(samples={"panel": leaking})).broken == (
        "panel has 2 open files more",
        "panel has 1 threads more",
    )


def test_recorders_that_follow_each_other_are_each_held_against_themselves() -> None:
    lives = [
        [_sample(100 * life + place, rss_mb=80.0 + 10.0 * life, pid=life) for place in range(50)] for life in (0, 1)
    ]
    assert judge(_soaked(samples={"record": lives[0] + lives[1]})).broken == ()
    lives[1] = [_sample(200 + place, rss_mb=80.0 + place, pid=1) for place in range(50)]
    (line,) = judge(_soaked(samples={"record": lives[0] + lives[1]})).broken
    assert line.startswith("record has grown")


def test_latency_that_becomes_longer_is_named() -> None:
    judgement = judge(_soaked(results=_results([10.0] * 1000 + [13.0] * 1000)))
    assert judgement.drift == 1.3
    assert judgement.broken == ("the median latency has become 1.30 times as long, for the machine's own speed",)


def test_latency_that_becomes_longer_because_the_machine_is_slower_is_not() -> None:
    results = _results([10.0] * 1000 + [13.0] * 1000)
    half_ns = int(results.t_publish_ns[1000])
    work = [(int(t_ns), 2.0 if t_ns < half_ns else 2.6) for t_ns in results.t_publish_ns[::20]]
    judgement = judge(_soaked(results=results, work=work))
    assert judgement.drift == 1.0
    assert {block.work_ms for block in judgement.blocks} == {2.0, 2.6}


def test_where_the_work_was_timed_seldom_the_times_before_and_after_count() -> None:
    results = _results([10.0] * 1000 + [13.0] * 1000)
    begin_ns, end_ns = int(results.t_publish_ns[0]), int(results.t_publish_ns[-1])
    judgement = judge(_soaked(results=results, work=[(begin_ns, 2.0), (end_ns, 4.0)]))
    assert judgement.drift is not None
    assert judgement.drift < 1.3
    assert [block.work_ms for block in judgement.blocks] == sorted(block.work_ms for block in judgement.blocks)


def test_a_peak_of_memory_that_is_returned_is_no_growth() -> None:
    samples = [_sample(place, rss_mb=100.0 + (40.0 if place % 6 else 0.0) * (place > 50)) for place in range(100)]
    growth = growth_of(samples)
    assert growth is not None
    assert (growth.growth_mb, growth.rss_peak_mb) == (0.0, 140.0)


def test_everything_that_got_lost_is_named() -> None:
    judgement = judge(_soaked(unaccounted=2, results_missing=1, marks_recorded=2))
    assert judgement.broken == (
        "2 frames are unaccounted for",
        "1 results are in no recording",
        "1 marks are in no recording",
    )


def test_too_few_samples_and_frames_say_nothing() -> None:
    judgement = judge(_soaked(samples={"stream": [_sample(0), _sample(1)]}, results=_results([10.0] * 60)))
    assert judgement.growth == {}
    assert judgement.drift is None


def test_usage_is_that_between_two_times() -> None:
    samples = [_sample(place, rss_mb=100.0 + place) for place in range(10)]
    usage = usage_between(samples, 2 * 10**9, 6 * 10**9)
    assert usage is not None
    assert (usage.cpu_percent, usage.rss_start_mb, usage.rss_end_mb, usage.rss_peak_mb) == (50.0, 102.0, 106.0, 106.0)
    assert usage_between(samples, 20 * 10**9, 30 * 10**9) is None


def test_usage_of_this_process_is_read_and_of_an_exited_one_is_not() -> None:
    sample = read_sample(os.getpid())
    assert sample is not None
    assert sample.rss_bytes > MIB
    assert sample.fds > 0
    assert read_sample(2**22 + 1) is None


def test_the_capture_process_of_a_stream_is_found() -> None:
    assert find_capture(os.getpid()) is None
    process = CaptureProcess()
    process.receive()  # it has started
    found = find_capture(os.getpid())
    process.end()
    assert found == process.pid
    assert find_capture(os.getpid()) is None


def test_the_ratio_of_percentiles_comes_with_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(1)
    alone = [rng.gamma(2.0, 5.0, 400) for _ in range(5)]
    beside = [1.5 * rng.gamma(2.0, 5.0, 400) for _ in range(5)]
    ratio, low, high = ratio_interval(alone, beside)
    assert low < ratio < high
    assert low > 1.1
    same, low, high = ratio_interval(alone, alone)
    assert same == 1.0
    assert low < 1.0 < high
