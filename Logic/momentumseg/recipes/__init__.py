"""Recipes: one small TOML a system, telling which registry entries it combines."""
