"""The report of a recorded sweep: one HTML file that needs nothing else, and the same numbers as JSON.

The document is made by :mod:`usassist.session.summary`; here it is put into words, pictures and a page.
"""

from usassist.session.report.write import WrittenReport, write_report
from usassist.words import languages

__all__ = ["WrittenReport", "languages", "write_report"]
