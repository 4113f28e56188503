"""EVALUATE: tasks give items; one place makes scores, errors, ranks and races of them."""
