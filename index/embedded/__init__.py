"""The gallery of one machine: records in SQLite, image files beside them, embeddings searched in memory."""
