"""Who may see a page: secrets, login, sessions, hosts and origins, paths, headers and TLS; see ``docs/access.md``.

Used by the live page, the demo page and the worklist. The order in which a request is judged is that of :mod:`.gate`.
"""

from usassist.sinks.panel.access.gate import Gate
from usassist.sinks.panel.access.paths import DEMO_PATHS, LIVE_PATHS, WORKLIST_PATHS, Paths
from usassist.sinks.panel.access.rules import Rules, check_access, hosted_rules, make_rules
from usassist.sinks.panel.access.run_secrets import RunSecrets, make_secrets, split_address

__all__ = [
    "DEMO_PATHS",
    "LIVE_PATHS",
    "WORKLIST_PATHS",
    "Gate",
    "Paths",
    "Rules",
    "RunSecrets",
    "check_access",
    "hosted_rules",
    "make_rules",
    "make_secrets",
    "split_address",
]
