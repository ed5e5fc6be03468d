"""Child processes of benchmarks, one file each, with one function ``work(options, parent)``."""
