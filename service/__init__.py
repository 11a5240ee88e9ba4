"""The HTTP service: crops come in, the embedding worker embeds them, the gallery answers."""
