"""Time, energy and memory of networks on devices that are not at hand, from their spec sheets."""
