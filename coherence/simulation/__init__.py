"""Floor 4: disturbances and responses in time."""
