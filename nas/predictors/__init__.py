"""What is learned from measurements: the latency of networks nobody has run. One file a family."""
