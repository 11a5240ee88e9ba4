"""How well vehicles are turned the same way: against known headings, and against known turns."""
