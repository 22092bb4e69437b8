"""Parts of the MomentumSeg modules of 3D Slicer; each file is one subject. Nothing is imported here."""
