"""The command `telemetry`."""
