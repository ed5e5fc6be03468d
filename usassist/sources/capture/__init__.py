"""Live inputs in a process of their own, because a system call of a driver or network may block without limit.

A thread that hangs cannot be stopped: it keeps the device, its memory and its descriptors. A process can be killed.
Start reading in ``opener.py``; ``process.py`` is the parent's side of a capture process, ``child.py`` runs in it;
``messages.py`` and ``ring.py`` (shared memory) connect the two.
"""
