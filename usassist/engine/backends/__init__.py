"""One file per runtime, each with one class derived from :class:`usassist.engine.backend.Backend`."""
