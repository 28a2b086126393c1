"""The cluster in a notebook."""
