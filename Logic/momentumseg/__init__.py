"""MomentumSeg: few-shot, prompted and automatic segmentation of medical volumes.

Importing this package is cheap (no torch): the heavy rooms are imported where they are used.
"""

__version__ = "0.1.0"
