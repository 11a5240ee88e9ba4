"""Deletes records that are older than SANET_RETENTION keeps them."""
