"""Floor 1a: linear algebra on plain arrays; knows no networks, nodes or graphs."""
