"""Publish each event once: JSON encoding, deduplication, the publishing queue, rejected events."""
