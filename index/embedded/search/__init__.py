"""Exact search over the rows of a gallery, in memory."""
