"""Floor 1b: node dynamics, held as their inverses; to and from python-control."""
