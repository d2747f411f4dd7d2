"""The measured paths, one file each."""
