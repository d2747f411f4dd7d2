"""Writes the events of many callers together: group commit, shared writes, the flush buffer."""
