def with_typical_values():
    pass
