"""Files in and out: volumes, DICOM folders, segmentations, scenes."""
