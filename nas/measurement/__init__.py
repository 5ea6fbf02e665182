"""How latency and memory are measured, and how well a measurement repeats."""
