"""Weights: the catalogue of known models, the user's store, where files come from, and safe loading."""
