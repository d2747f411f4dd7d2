"""The edge of a process: settings, listening addresses, certificates, watched files, forks, bounded HTTP serving."""
