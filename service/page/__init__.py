"""The page at ``/``: HTML, style and scripts on the public HTTP contract alone, with nothing from elsewhere."""
