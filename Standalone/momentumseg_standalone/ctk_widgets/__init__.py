"""Widgets of ctk (the Common Toolkit), re-made from their properties, signals and slots: what .ui files use."""
