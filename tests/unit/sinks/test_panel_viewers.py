from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from usassist.sinks.panel import viewers as viewers_module
from usassist.sinks.panel.viewers import MAX_VIEWERS, PACKETS_IN_FLIGHT, Viewer, Viewers


def join(viewers: Viewers) -> Viewer:
    viewer = viewers.join()
    assert viewer is not None
    return viewer


async def nothing_comes(viewer: Viewer) -> bool:
    task = asyncio.create_task(viewer.take())
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        return False
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return True


def test_a_viewer_gets_the_newest_and_counts_what_it_missed() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = join(viewers)
        for number in range(10):
            viewers.offer(b"%d" % number)
        assert await viewer.take() == b"9"
        assert viewer.skipped == 9
        assert await nothing_comes(viewer)

    asyncio.run(scenario())


def test_a_stalled_viewer_holds_up_nobody_and_keeps_one_packet() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        stalled, quick = join(viewers), join(viewers)
        for number in range(200):
            viewers.offer(b"%d" % number)
            assert await quick.take() == b"%d" % number
            quick.acknowledge()
        assert (stalled.skipped, quick.skipped) == (199, 0)
        assert await stalled.take() == b"199"

    asyncio.run(scenario())


def test_no_more_than_a_few_unconfirmed_packets_are_under_way() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = join(viewers)
        for _ in range(PACKETS_IN_FLIGHT):
            viewers.offer(b"old")
            assert await viewer.take() == b"old"
        viewers.offer(b"waits")
        assert await nothing_comes(viewer)
        viewers.offer(b"newest")
        viewer.acknowledge()
        assert await viewer.take() == b"newest"

    asyncio.run(scenario())


def test_confirming_what_was_never_sent_does_not_widen_the_window() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = join(viewers)
        for _ in range(50):
            viewer.acknowledge()
        for _ in range(PACKETS_IN_FLIGHT):
            viewers.offer(b"x")
            await viewer.take()
        viewers.offer(b"x")
        assert await nothing_comes(viewer)

    asyncio.run(scenario())


def test_packets_offered_from_another_thread_wake_the_viewer() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = join(viewers)
        thread = threading.Thread(target=viewers.offer, args=(b"hello",))
        thread.start()
        assert await asyncio.wait_for(viewer.take(), 10) == b"hello"
        thread.join()

    asyncio.run(scenario())


def test_who_has_left_is_offered_nothing() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = join(viewers)
        assert len(viewers) == 1
        viewers.leave(viewer)
        viewers.offer(b"x")
        assert len(viewers) == 0
        assert await nothing_comes(viewer)

    asyncio.run(scenario())


def test_no_frame_is_encoded_for_inactive_browsers_alone_and_the_queued_one_is_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(viewers_module.time, "monotonic", lambda: now[0])

    async def scenario() -> None:
        viewers = Viewers()
        assert not viewers.active()
        sleeper = join(viewers)
        for _ in range(PACKETS_IN_FLIGHT):
            viewers.offer(b"old")
            await sleeper.take()
        viewers.offer(b"old")
        now[0] = 1.9
        assert viewers.active()
        now[0] = 2.1
        assert not viewers.active()
        sleeper.acknowledge()
        assert viewers.active()
        assert await nothing_comes(sleeper), "what waited for it was two seconds old"
        viewers.offer(b"new")
        assert await sleeper.take() == b"new"

    asyncio.run(scenario())


def test_an_inactive_browser_does_not_keep_frames_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(viewers_module.time, "monotonic", lambda: now[0])

    async def scenario() -> None:
        viewers = Viewers()
        sleeper, quick = join(viewers), join(viewers)
        for _ in range(PACKETS_IN_FLIGHT):
            viewers.offer(b"x")
            await sleeper.take()
            await quick.take()
            quick.acknowledge()
        now[0] = 60.0
        assert viewers.active()
        viewers.offer(b"y")
        assert await quick.take() == b"y"

    asyncio.run(scenario())


def test_the_first_who_comes_wakes_whoever_waits_for_viewers() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        assert not viewers.wait(0.0)
        viewer = join(viewers)
        assert viewers.wait(0.0)
        viewers.leave(viewer)
        assert not viewers.wait(0.0)

    asyncio.run(scenario())


def test_there_is_an_end_to_how_many_may_watch() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        everybody = [join(viewers) for _ in range(MAX_VIEWERS)]
        assert viewers.join() is None
        viewers.leave(everybody[0])
        assert viewers.join() is not None

    asyncio.run(scenario())
