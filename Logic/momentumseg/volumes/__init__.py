"""Volumes: voxels that travel with their geometry."""
