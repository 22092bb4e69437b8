"""Widgets that show MRML nodes, re-made from their properties, signals and slots: what .ui files use."""
