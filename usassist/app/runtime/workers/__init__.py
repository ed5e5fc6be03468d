"""What each child process does: one file each, one function ``work(options, parent)``."""
