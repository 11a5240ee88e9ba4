"""Manifests: vehicles in files, their protocols, and the queries and galleries that they make."""
