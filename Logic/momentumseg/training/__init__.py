"""Training: regions, episodes, the one trainer."""
