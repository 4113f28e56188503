"""The policy `screen`: which datasets are worth training on, found by short looks, then long runs on these."""
