"""A study from what a user has: model, rows and tasks in, a commented study file out. Nothing is guessed silently."""
