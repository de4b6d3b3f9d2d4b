"""What a Linux device says of itself: one file per source. Blocking; runs in threads only.

Each collector takes a `Round`: where the trees are, what counters said before, and the clock. None
raises: what cannot be read is a reading without a value, with the reason.
"""
