"""SANet: the network, its preprocessing, its checkpoint and the embedder that runs it."""
