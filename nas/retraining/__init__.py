"""Training of one standalone model: the winner once more, or any net of the space from scratch."""
