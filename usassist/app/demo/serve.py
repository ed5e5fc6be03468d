"""Serve the page, by ``usassist demo`` or by Gradio's own launch, and remove everything of its visitors at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from usassist.app.demo.answering import Answering, Choice
from usassist.app.demo.desk import Desk
from usassist.app.demo.limits import LIMITS
from usassist.app.demo.material import Item, bundled_items
from usassist.app.demo.routes import PREFIX, clip_routes
from usassist.app.demo.shelf import Shelf
from usassist.app.demo.studies.answering import StudyAnswering, StudyEngine
from usassist.app.demo.studies.desk import StudyDesk
from usassist.app.demo.studies.routes import PREFIX as STUDY_PREFIX
from usassist.app.demo.studies.routes import study_routes
from usassist.app.demo.studies.table import TABS
from usassist.app.demo.visits import Visits, private_root
from usassist.app.runtime.open_stream import StreamOptions
from usassist.common.clock import MonotonicClock
from usassist.config import PanelConfig, RecordConfig
from usassist.engine import find_engine
from usassist.sinks.panel.access import DEMO_PATHS
from usassist.sinks.panel.serve import run_server

__all__ = ["DemoOptions", "launch_hosted", "open_desks", "run_demo"]

_CLEAN_S = 60.0
_PATHS = dataclasses.replace(
    DEMO_PATHS,
    get=(*(path for path in DEMO_PATHS.get if path != "/gradio_api/file="), f"/{PREFIX}/", f"/{STUDY_PREFIX}/"),
    sockets=(),
    max_upload_bytes=LIMITS.file_bytes + 2**20,  # with the frame of the form around it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the page answers with.

    Attributes
    ----------
    stream : of every stream; engine, precision and point are what a visitor finds chosen
    record : how sessions are recorded
    jpeg_quality : of the player's images, 1 to 100
    first : a clip to be shown first; None = the bundled one
    """

    stream: StreamOptions
    record: RecordConfig
    jpeg_quality: int = 85
    first: Item | None = None


def run_demo(options: DemoOptions, *, panel: PanelConfig, on_ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    options : what it answers with
    panel : where it listens, and who may see it
    on_ready : called with the address of the page

    Raises
    ------
    UsAssistError
        If the page cannot be served.
    """
    with contextlib.ExitStack() as stack:

        def make_app() -> FastAPI:
            import gradio as gr

            from usassist.app.demo.page import MOUNT, build_demo

            desk, studies = stack.enter_context(open_desks(options))
            app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            app.router.routes.extend([*clip_routes(desk.visits), *study_routes(desk.visits)])
            gr.mount_gradio_app(app, build_demo(desk, studies), path="/", **MOUNT)
            return app

        run_server(make_app, panel, paths=_PATHS, on_ready=on_ready)


def launch_hosted(options: DemoOptions) -> None:
    """Serve the page by Gradio's own launch, for a service that hosts it: anybody may see it, and Gradio's environment
    says where it listens."""
    from usassist.app.demo.page import MOUNT, build_demo

    with open_desks(options) as (desk, studies):
        routes = [*clip_routes(desk.visits), *study_routes(desk.visits)]
        build_demo(desk, studies).launch(app_kwargs={"routes": routes}, share=False, quiet=True, **MOUNT)


@contextlib.contextmanager
def open_desks(options: DemoOptions) -> Iterator[tuple[Desk, list[StudyDesk]]]:
    """The desk of clips, and one for each tab of studies; everything of them is removed at the end of the block."""
    stop = threading.Event()
    items = {} if options.first is None else {options.first.name: options.first}
    items |= bundled_items()
    with private_root() as root:
        visits = Visits(root, MonotonicClock())
        answering = Answering(options.stream, record=options.record, jpeg_quality=options.jpeg_quality)
        spec = find_engine(options.stream.engine)
        chosen = Choice(
            engine=f"{spec.name}@{spec.version}", precision=options.stream.precision, point=options.stream.point
        )
        shelf = Shelf(items, answering, chosen, visits.shared)
        desk = Desk(visits, answering, shelf)
        engine = StudyEngine(
            backend=options.stream.backend, precision=options.stream.precision, threads=options.stream.threads
        )
        studies = [StudyDesk(visits, StudyAnswering(tab, engine)) for tab in TABS.values()]
        cleaner = threading.Thread(target=_clean, args=([desk, *studies], stop), name="visits", daemon=True)
        shelf.start()
        cleaner.start()
        try:
            yield desk, studies
        finally:
            stop.set()
            shelf.close()
            visits.close()


def _clean(desks: Sequence[Desk | StudyDesk], stop: threading.Event) -> None:
    while not stop.wait(_CLEAN_S):
        for desk in desks:
            desk.end_old()
