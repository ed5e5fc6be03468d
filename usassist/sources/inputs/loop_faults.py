"""What goes wrong with a loop that is asked for faults: one after the other, by the clock alone.

The clock and not a count decides, because a loop that was unplugged is opened anew and knows nothing of the one before.

=========== =======================================================================
``freeze``  the same picture comes again and again
``black``   black pictures come
``silence`` nothing comes
``unplug``  the device is gone, and cannot be opened while that lasts
``resize``  the screen has another size
=========== =======================================================================
"""

from __future__ import annotations

__all__ = ["FAULTS", "FAULT_S", "RESIZED_WH_PX", "fault_at"]

FAULTS = ("freeze", "black", "silence", "unplug", "resize")
FAULT_S = 1.5
RESIZED_WH_PX = (720, 576)


def fault_at(t_ns: int, every_s: float) -> str | None:
    """What is wrong at a time: in the last 1.5 s of every `every_s` seconds one of :data:`FAULTS`, in their order.

    Parameters
    ----------
    t_ns : monotonic ns
    every_s : more than 1.5

    Returns
    -------
    fault : None while all is well
    """
    turn, rest_s = divmod(t_ns / 1e9, every_s)
    return FAULTS[int(turn) % len(FAULTS)] if rest_s >= every_s - FAULT_S else None
