"""Floor 4: grid cases, their operating point and their linearisation to a Network."""
