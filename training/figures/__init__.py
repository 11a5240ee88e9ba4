"""The pictures that a paper needs, drawn from what a network really computed."""
