"""Control design on reduced models, and its check on the full network."""
