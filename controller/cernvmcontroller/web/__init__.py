"""The controller's HTTP side: routes, rights, errors, events, metrics, TLS. It decides nothing about machines."""
