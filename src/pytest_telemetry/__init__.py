"""The pytest plugin. Its face is fixtures, a marker and settings; see docs/how-to/test-your-telemetry.md."""
