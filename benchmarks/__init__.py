"""Programs that measure: each states what it compares with, and measures both in the same run."""
