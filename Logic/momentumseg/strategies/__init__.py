"""What one iteration of training computes: on which samples, and what follows the optimiser's step."""
