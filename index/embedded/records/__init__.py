"""The truth about every record: one SQLite file."""
