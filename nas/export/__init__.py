"""What leaves the search: exported models."""
