"""JupyterHub's side: the Spawner and its options page."""
