"""The optimiser: makes variants of a model, measures them where they will serve, and chooses."""
