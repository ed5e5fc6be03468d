"""Child processes that exist for measuring: one file each, one function ``work(options, parent)``."""
