"""The enrolled image files, and those that were deleted."""
