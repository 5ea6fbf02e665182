"""What can be built: plain immutable values, no torch."""
