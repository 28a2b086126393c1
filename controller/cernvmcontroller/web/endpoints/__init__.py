"""What the routes do: translate between the wire and the engine, and keep everybody to what is theirs."""
