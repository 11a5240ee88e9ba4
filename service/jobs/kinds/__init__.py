"""The kinds of jobs: one file each, with the parameters that it takes and what it does."""
