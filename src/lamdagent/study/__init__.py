"""A study file becomes a running search."""
