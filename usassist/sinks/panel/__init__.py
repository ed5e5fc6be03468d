"""The panel: a live page in the browser, on Gradio.

Live frames go over a WebSocket of our own and are drawn on a canvas; none is ever written to disk.
"""

from usassist.sinks.panel.control import Choices
from usassist.sinks.panel.serve import check_panel, run_panel

__all__ = ["Choices", "check_panel", "run_panel"]
