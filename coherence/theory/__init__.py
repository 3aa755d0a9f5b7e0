"""Floor 3: coherent dynamics, incoherence and its bounds."""
