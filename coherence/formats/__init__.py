"""Floor 5: the files that cases come from and go to; each becomes the tables of a `Case`."""
