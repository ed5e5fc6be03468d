"""One file per runtime. Each offers ``REQUIRES``, ``FORMATS``, ``PRECISIONS`` and ``open``; see ``docs/engines.md``."""
