"""Live inputs in a process of their own, because a driver or a network may keep a system call for ever.

A thread that hangs cannot be ended: it keeps the device, its memory and its descriptors. A process can be killed. Start
in ``opener.py``; ``process.py`` is one capture process seen from here, ``child.py`` is what runs in it, ``messages.py``
and ``ring.py`` are what goes between the two.
"""
