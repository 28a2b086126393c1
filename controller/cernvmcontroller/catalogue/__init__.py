"""The catalogue: what feeds offer; what is downloaded and ready of it is the repository."""
