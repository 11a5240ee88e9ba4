"""What the service costs beside the network that it serves."""
