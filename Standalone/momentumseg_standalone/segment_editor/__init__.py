"""The segment editor: `qMRMLSegmentEditorWidget` and its effects, on Slicer's own vtkSlicerSegmentEditorLogic."""
