"""Results that leave: a Hugging Face folder with a card, and `pipeline.yaml`."""
