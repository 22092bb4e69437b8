"""Draw the picture of the generated abdomen for Slicer's Sample Data module.

python Docs/images/draw_phantom.py SlicerMomentumSeg/Resources/Icons/MomentumSegPhantom.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "SlicerMomentumSeg"))

from MomentumSegLib.phantom import generate_abdomen  # noqa: E402

SLICE = 21
COLUMNS, ROWS = 280, 260
LOW, HIGH = -150, 250  # Hounsfield units

if __name__ == "__main__":
    voxels = generate_abdomen().voxels[SLICE].astype(np.float32)
    factor = COLUMNS / voxels.shape[1]
    grey = np.clip((ndimage.zoom(voxels, factor, order=3) - LOW) / (HIGH - LOW), 0, 1)
    above = (ROWS - grey.shape[0]) // 2
    grey = np.pad(grey, ((above, ROWS - grey.shape[0] - above), (0, COLUMNS - grey.shape[1])))
    image.imsave(sys.argv[1], np.repeat(grey[..., None], 3, axis=-1))
