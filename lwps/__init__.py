"""lwps."""
