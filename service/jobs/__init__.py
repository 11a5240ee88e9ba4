"""Long work in the background that survives a restart: what a job is, where it is kept, who runs it, how one asks."""
