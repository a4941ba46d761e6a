"""Compare the speed of the laboratory with that of the usual alternatives: `make bench`.

Every row is a ratio of two programs that do the same work. They run alternately, so that a busy
machine slows both. Compare ratios between machines, not times.
"""
