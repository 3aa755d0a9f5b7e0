"""Floor 3: finding the coherent groups of a network."""
