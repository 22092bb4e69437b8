"""PySide6 with the rules of PythonQt, the Qt binding inside 3D Slicer.

- `rules`: what reading and writing an attribute of a Qt object means (a property before a method; unknown names raise).
- `properties`: which properties a class has, how they are read, and which values they take.
- `connections`: `object.connect("signal(type)", function)`.
- `qt_module`, `ctk_module`: the modules `qt` and `ctk`.
- `ui_loader`: .ui files with Slicer's widgets.
- `registry`: the widget classes that a .ui file may name.
"""
