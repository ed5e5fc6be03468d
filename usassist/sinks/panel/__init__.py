"""The panel: a live page in the browser, on Gradio.

Live frames go over a WebSocket of our own and are drawn on a canvas; none is ever written to disk.
"""

from usassist.sinks.panel.access import RunSecrets
from usassist.sinks.panel.control import Choices
from usassist.sinks.panel.listen import check_panel
from usassist.sinks.panel.live_page import page_options, run_panel

__all__ = ["Choices", "RunSecrets", "check_panel", "page_options", "run_panel"]
