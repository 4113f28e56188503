"""One plug-in of each family."""
