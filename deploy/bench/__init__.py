"""The performance suite: every figure is a ratio to another of the same run, on the same machine."""
