"""Whether a schedule is worth its numbers: the best of windows beside constants and cosines."""
