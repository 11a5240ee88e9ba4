"""Readers: from a data set as it is published, or as it lies at home, to a manifest."""
