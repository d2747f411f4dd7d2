"""The range of protobuf's timestamps."""

from typing import Final

MIN_SECONDS: Final = -62_135_596_800
"""0001-01-01T00:00:00Z."""
MAX_SECONDS: Final = 253_402_300_799
"""9999-12-31T23:59:59Z."""
