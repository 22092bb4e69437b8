"""What happens to voxels between a volume and a network."""
