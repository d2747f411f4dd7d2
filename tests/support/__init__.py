"""Fakes and helpers shared by several kinds of tests."""
