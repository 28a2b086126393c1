"""How fast a machine starts, in phases and ratios: ``make bench``."""
