"""Child processes, one file each, with one function ``work(options, parent)``."""
