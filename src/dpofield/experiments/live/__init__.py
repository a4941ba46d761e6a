"""Measurements that chapters repeat at each build, on short runs; one module per chapter."""
