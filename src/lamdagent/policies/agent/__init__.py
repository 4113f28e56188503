"""The policy `agent`: a language model selects, from what the search knows, held to a schema of what can be done."""
