"""Upkeep: that database and hosts agree, and that nothing is left lying about."""
