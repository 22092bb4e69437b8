"""The application's views: slices and 3D, drawn by Slicer's displayable managers."""
