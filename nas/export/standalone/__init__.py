"""A model as one readable Python file: the operators' own source, specialised to it."""
