"""Floor 2: the noun `Network`: T(s), projection, state space."""
