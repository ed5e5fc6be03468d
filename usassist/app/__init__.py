"""The command line, and the processes that a command starts."""
