"""What is measured: a file a path."""
