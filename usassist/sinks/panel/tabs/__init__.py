"""The tabs of the page, in their order.

A tab is a function in a module of its own here that is called inside the Gradio ``Blocks`` and inside the ``gr.Tab``
that the page has made for it; its label is the word ``tab.NAME`` of the part ``page``. Several functions may fill one
tab, one under the other. To add a tab, add its line.
"""

from __future__ import annotations

from collections.abc import Callable

from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.tabs.about import build_about_tab
from usassist.sinks.panel.tabs.controls import build_controls
from usassist.sinks.panel.tabs.engine import build_engine_tab
from usassist.sinks.panel.tabs.live import build_live_tab
from usassist.sinks.panel.tabs.sweep import build_sweep_tab
from usassist.sinks.panel.tabs.system import build_system_tab

__all__ = ["TABS", "BuildTab"]

BuildTab = Callable[[PageContext], None]

TABS: tuple[tuple[str, tuple[BuildTab, ...]], ...] = (
    ("live", (build_live_tab, build_controls)),
    ("sweep", (build_sweep_tab,)),
    ("system", (build_system_tab,)),
    ("engine", (build_engine_tab,)),
    ("about", (build_about_tab,)),
)
"""Name of a tab → the functions that fill it."""
