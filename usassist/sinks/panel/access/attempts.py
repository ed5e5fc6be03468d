"""How often somebody may try a secret: so many failures in a minute, of one address and of all together."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Attempts"]

_MAX_ADDRESSES = 1000


class Attempts:
    """Counts failures in a sliding window.

    Parameters
    ----------
    per_address, overall : failures after which no further attempt is looked at
    window_s : after so long a failure is forgotten, s
    now : clock, s
    """

    def __init__(
        self,
        *,
        per_address: int = 5,
        overall: int = 30,
        window_s: float = 60.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_address, self._overall, self._window_s, self._now = per_address, overall, window_s, now
        self._failures: dict[str, deque[float]] = {}
        self._all: deque[float] = deque()

    def wait_s(self, address: str) -> int:
        """How long an address has to wait before its next attempt is looked at, s; 0 = not at all."""
        waits = (
            self._left_s(self._failures.get(address, deque()), self._per_address),
            self._left_s(self._all, self._overall),
        )
        return math.ceil(max(waits))

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = self._now()
        if address not in self._failures and len(self._failures) >= _MAX_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))  # the limit of all together still holds
        self._failures.setdefault(address, deque(maxlen=self._per_address)).append(now)
        self._all.append(now)
        while len(self._all) > self._overall:
            self._all.popleft()

    def succeeded(self, address: str) -> None:
        """Forget the failures of an address."""
        self._failures.pop(address, None)

    def _left_s(self, failures: deque[float], limit: int) -> float:
        """Time until fewer than `limit` failures lie in the window."""
        if len(failures) < limit:
            return 0.0
        return max(0.0, failures[-limit] + self._window_s - self._now())
