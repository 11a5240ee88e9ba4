"""The gallery: records and images on disk, and exact search over their embeddings."""
