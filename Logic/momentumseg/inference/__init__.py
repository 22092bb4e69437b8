"""Inference: what turns a network's slices into a result for a volume."""
