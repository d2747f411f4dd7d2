"""The pytest plugin. It provides fixtures, a marker and settings: see docs/how-to/test-your-telemetry.md."""
