"""Tasks: lm-eval's by name, and the user's own rows by the same route."""
