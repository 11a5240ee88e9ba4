"""The gallery: its records, what they may say, and what may be asked of them, whatever keeps them."""
