"""Copies of a whole gallery: backups, restored ones, Parquet."""
