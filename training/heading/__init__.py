"""Which way vehicles point, learned from their identities alone: matching, congealing, ends."""
