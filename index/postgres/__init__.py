"""The records of a gallery that several processes share: tables in PostgreSQL."""
