"""What the compared methods are trained for: one objective a file, beside its network in `model.compared`."""
