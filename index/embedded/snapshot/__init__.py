"""The rows of an index on disk, so that a gallery opens as fast as its files are read. Derived: may be deleted."""
