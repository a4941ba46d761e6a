"""What the laboratory's speed is worth, against what a reader would take instead: `make bench`.

Every row is a ratio of two programs doing the same work, taken by turns in one run, so that a busy
machine slows both. Times are of this machine; only ratios are worth comparing with another.
"""
