"""How the stream and its processes are doing, over the last ten minutes and since the session began."""

from usassist.sinks.panel.system.log import EDGES_MS, Process, System, SystemLog
from usassist.sinks.panel.system.seconds import KEPT_S
from usassist.sinks.panel.system.temperatures import Temperature, read_temperatures

__all__ = ["EDGES_MS", "KEPT_S", "Process", "System", "SystemLog", "Temperature", "read_temperatures"]
