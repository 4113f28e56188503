"""The loop and its values: standard library only, but for `config`, which knows pydantic."""
