"""How far an answer can be believed: probabilities and decisions, fitted to answers whose truth is known."""
