"""The servers of ``net.py``, one file for each runtime: ``python -m peers.net.trio echo``."""
