from __future__ import annotations

import asyncio
import contextlib
import threading

from usassist.sinks.panel.viewers import PACKETS_IN_FLIGHT, Viewer, Viewers


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
        viewer = viewers.join()
        for number in range(10):
            viewers.offer(b"%d" % number)
        assert await viewer.take() == b"9"
        assert viewer.skipped == 9
        assert await nothing_comes(viewer)

    asyncio.run(scenario())


def test_a_stalled_viewer_holds_up_nobody_and_keeps_one_packet() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        stalled, quick = viewers.join(), viewers.join()
        for number in range(200):
            viewers.offer(b"%d" % number)
            assert await quick.take() == b"%d" % number
            quick.confirm()
        assert (stalled.skipped, quick.skipped) == (199, 0)
        assert await stalled.take() == b"199"

    asyncio.run(scenario())


def test_no_more_than_a_few_unconfirmed_packets_are_under_way() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = viewers.join()
        for _ in range(PACKETS_IN_FLIGHT):
            viewers.offer(b"old")
            assert await viewer.take() == b"old"
        viewers.offer(b"waits")
        assert await nothing_comes(viewer)
        viewers.offer(b"newest")
        viewer.confirm()
        assert await viewer.take() == b"newest"

    asyncio.run(scenario())


def test_confirming_what_was_never_sent_does_not_widen_the_window() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = viewers.join()
        for _ in range(50):
            viewer.confirm()
        for _ in range(PACKETS_IN_FLIGHT):
            viewers.offer(b"x")
            await viewer.take()
        viewers.offer(b"x")
        assert await nothing_comes(viewer)

    asyncio.run(scenario())


def test_packets_offered_from_another_thread_wake_the_viewer() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = viewers.join()
        thread = threading.Thread(target=viewers.offer, args=(b"hello",))
        thread.start()
        assert await asyncio.wait_for(viewer.take(), 10) == b"hello"
        thread.join()

    asyncio.run(scenario())


def test_who_has_left_is_offered_nothing() -> None:
    async def scenario() -> None:
        viewers = Viewers()
        viewer = viewers.join()
        assert len(viewers) == 1
        viewers.leave(viewer)
        viewers.offer(b"x")
        assert len(viewers) == 0
        assert await nothing_comes(viewer)

    asyncio.run(scenario())
