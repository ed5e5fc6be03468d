"""One file per runtime. Each offers ``REQUIRES``, ``FORMATS`` and ``open``; see ``docs/engines.md``."""
