"""Whether training rows hold what a model will be scored on."""
