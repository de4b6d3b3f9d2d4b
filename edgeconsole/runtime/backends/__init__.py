"""Inference engines behind one interface; each imports its engine only when it loads a model."""
