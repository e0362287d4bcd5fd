"""Row 1: the object model. Pure: no I/O, no clock, no randomness of its own."""
