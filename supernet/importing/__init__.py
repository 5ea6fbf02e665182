"""Supernets that start from others' weights: read, fitted to the images, ordered, placed."""
