"""The commands that `telemetry --help` lists, one file per command."""
