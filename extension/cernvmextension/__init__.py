"""Jupyter Server's side: a same-origin door to the controller."""
