"""``usassist replay``: a clip through the live path, or the recorded messages of a session to the sinks."""
