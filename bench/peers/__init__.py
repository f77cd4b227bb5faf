"""One file for each Python runtime, one function for each row: ``python -m peers.trio spawn 9``."""
