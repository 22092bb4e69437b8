"""What the training module says of itself."""

from __future__ import annotations

from slicer.i18n import tr as _

from MomentumSegLib.about import HOMEPAGE


def help_text() -> str:
    """Return the help of the module, rich text."""
    text = _(
        "<p>Train a model of your own on segmented scans, watch it learn, and segment the next patient with it.</p>"
        "<ol><li>Choose the cases: scans of the scene with their segmentations, or a folder.</li><li>Choose a recipe; "
        "<i>Check</i> says what it takes here.</li><li>Press <i>Start training</i>. It can be paused, and goes on "
        "after a restart.</li><li>Save the model and use it in the module MomentumSeg, method Automatic.</li></ol>"
        "<p>Nothing leaves the computer. Results are for research: this is not a medical device.</p>"
        '<p>Tutorial and documentation: <a href="{homepage}">{homepage}</a></p>'
    )
    return text.format(homepage=HOMEPAGE)


def acknowledgement_text() -> str:
    """Return whom to thank and what to cite, rich text."""
    text = _(
        "<p>Please cite the paper of the recipe that you trained with (its documentation names it), MONAI: Cardoso et "
        "al., <i>MONAI: An open-source framework for deep learning in healthcare</i>, 2022, and 3D Slicer: Fedorov et "
        "al., <i>3D Slicer as an image computing platform for the Quantitative Imaging Network</i>, Magnetic Resonance "
        "Imaging 30(9), 2012.</p><p>MomentumSeg is made by its contributors: {homepage}</p>"
    )
    return text.format(homepage=HOMEPAGE)
