"""Index space, orientation, and the way to network slices and back."""
