"""Language models that policies and memories ask: through any provider, or served on this machine."""
