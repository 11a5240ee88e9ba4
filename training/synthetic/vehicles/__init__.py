"""Procedural vehicles: bodies, their paint, and the details by which one is told from another."""
