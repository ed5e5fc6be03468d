"""One file per command: its options, one call, and what it prints. Nothing imports this package."""
