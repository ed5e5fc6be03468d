"""Programs of the clinic that tests talk to, each a process of its own."""
