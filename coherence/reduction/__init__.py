"""Floor 4: fewer nodes (aggregation) and lower orders (truncation), with the network structure kept."""
