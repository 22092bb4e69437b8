"""What the module says of itself, and what it registers with the application at start-up."""

from __future__ import annotations

from slicer.i18n import tr as _

HOMEPAGE = "https://github.com/MomentumSeg/SlicerMomentumSeg"
CONTRIBUTORS = ["MomentumSeg contributors (SlicerMomentumSeg on GitHub)"]


def help_text() -> str:
    """Return the help of the module, rich text."""
    text = _(
        "<p>Draw a structure on one slice of a scan, or on a few, and get it in the whole volume, with a map of where "
        "the result is uncertain. Correct a slice and apply again: the result improves.</p>"
        "<ol><li>Choose the volume.</li><li>Add a segment for each structure and draw it on a slice.</li>"
        "<li>Press Apply.</li><li>Press <i>Suggest next slice</i>, draw that slice, apply again.</li></ol>"
        "<p>With the method <i>Prompts</i> you click into a structure or draw a box around it; with <i>Automatic</i> a "
        "model that was trained for certain structures finds them by itself.</p>"
        "<p>Nothing leaves the computer. Results are for research: this is not a medical device.</p>"
        '<p>Tutorial and documentation: <a href="{homepage}">{homepage}</a></p>'
    )
    return text.format(homepage=HOMEPAGE)


def acknowledgement_text() -> str:
    """Return whom to thank and what to cite, rich text."""
    text = _(
        "<p>If you use results of this module in a publication, please cite the method: Zhang et al., <i>LMS-Net: "
        "A Learned Mumford-Shah Network For Few-Shot Medical Image Segmentation</i>, and 3D Slicer: Fedorov et al., "
        "<i>3D Slicer as an image computing platform for the Quantitative Imaging Network</i>, Magnetic Resonance "
        "Imaging 30(9), 2012. The card of each model says on what data it was trained; please cite these too.</p>"
        "<p>MomentumSeg is made by its contributors: {homepage}</p>"
    )
    return text.format(homepage=HOMEPAGE)


def register_with_the_application() -> None:
    """Offer the sample data and the settings; called once, when the application has started."""
    from MomentumSegLib import sample_data, settings_panel

    sample_data.register()
    settings_panel.register()
