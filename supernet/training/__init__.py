"""Training of a supernet: which members, which losses, the loop, checkpoints."""
