"""The offline side: where checkpoints come from."""
