"""`python -m coherence` is the command line."""

from coherence.cli import main

main()
