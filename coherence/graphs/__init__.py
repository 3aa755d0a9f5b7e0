"""Floor 1b: Laplacians and partitions of plain arrays; knows no dynamics."""
