"""Measurements that chapters make live, on runs short enough for a page; one module per chapter."""
