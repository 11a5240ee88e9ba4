"""What is most worth doing when a GPU is at hand for a quarter of an hour: packed here, run there, reported here."""
