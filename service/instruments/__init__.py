"""What `GET /metrics` tells Prometheus: instruments that count what happens, and series of what is."""
