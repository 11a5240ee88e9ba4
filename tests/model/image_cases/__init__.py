"""File formats and oddities: what is read and what is refused, as a list that tests run and documentation shows."""
