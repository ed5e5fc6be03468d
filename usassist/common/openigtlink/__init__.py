"""The part of OpenIGTLink that usassist speaks: IMAGE, TRANSFORM, STRING and STATUS, with headers of version 1 and 2.

The layout is that of http://openigtlink.org/developers/spec.html (protocol 3: ``Documents/Protocol`` of the library
OpenIGTLink). Everything is big-endian but the pixels of an image. Why not ``pyigtl``: ADR 62.

``crc64.py`` has the checksum, ``header.py`` the 58 bytes before every message, ``packing.py`` writes messages,
``reader.py`` reads them from a socket, ``content.py`` reads what is in them.
"""
