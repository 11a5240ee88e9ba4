"""What a gallery of a million records costs."""
