"""The page of a worklist: the list in the browser, and whether the process behind it is alive."""

from usassist.sinks.panel.worklist.page import run_worklist_page

__all__ = ["run_worklist_page"]
