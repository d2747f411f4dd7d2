"""The commands that `telemetry --help` shows, one file a command."""
