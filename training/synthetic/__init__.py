"""UAV-Synth: vehicles nobody has to sign an agreement for, drawn from a seed, with everything known about them."""
