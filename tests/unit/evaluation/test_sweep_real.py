"""Two real clips with the engine that ships."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
from usassist.evaluation.run import settle_area
from usassist.evaluation.sweep_clips import check_clip, list_clips, read_clip, read_clip_table, sample_images
from usassist.evaluation.sweep_figures import follow_clip
from usassist.evaluation.sweep_report import Sweeps, sweep_report


def test_two_real_clips_are_followed_from_end_to_end() -> None:
    folder = Path(os.environ.get("USASSIST_DATA", "")) / "thyroid_cine"
    if "USASSIST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with thyroid_cine")
    with (folder / "frames.csv").open() as file:
        share = {row["file"]: float(row["mask_share"]) for row in csv.DictReader(file)}
    folders = folder / "images", folder / "masks"
    clips = list_clips(*folders, [], names=["01", "05"])
    by_table = list_clips(*folders, [], table=read_clip_table(folder / "frames.csv"), names=["1", "5"])
    assert [clip.pairs for clip in by_table] == [clip.pairs for clip in clips]
    assert [len(clip.pairs) for clip in clips] == [24, 20]
    with open_engine_under_test(EngineOptions(precision="fp32", threads=1)) as measured:
        sweeps = Sweeps(measured.threshold)
        for clip in clips:
            check_clip(clip)
            area = settle_area(sample_images(clip))
            assert area.found
            sweeps.take(clip.name, follow_clip(measured.run(read_clip(clip), area), clip.numbers, measured.threshold))
    for _, frame in sweeps.frames:
        assert frame.is_marked == (share[frame.tally.name] > 0)
    figures = sweep_report(sweeps, None, "clip")["figures"]
    assert figures["sensitivity"].count == 22
    first = sweeps.clips[0]  # a nodule that is plain to see
    assert first.dice > 0.8
    assert first.to_first_detection == 0
    assert first.flicker < 0.3
