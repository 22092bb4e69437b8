"""Blocks shared by the network families."""
