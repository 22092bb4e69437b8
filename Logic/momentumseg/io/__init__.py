"""Files: reading volumes and label maps, writing whole files or none."""
