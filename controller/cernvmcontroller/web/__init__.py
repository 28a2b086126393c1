"""The controller's HTTP side: routes, rights, errors, events, metrics, TLS."""
