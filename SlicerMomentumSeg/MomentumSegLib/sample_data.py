"""Entries of the module in Sample Data: a generated abdomen that needs no network, and public scans with checksums."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from MomentumSegLib.translation import tr as _

CATEGORY = "MomentumSeg"
PHANTOM_NAME = "MomentumSegPhantom"
PHANTOM_THUMBNAIL = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "MomentumSegPhantom.png"
# Sample Data asks every entry for an address. This one is generated: its button calls `load_phantom` instead.
PHANTOM_ADDRESS = "generated:MomentumSegPhantom"
SOFT_TISSUE_WINDOW = (-150, 250)  # Hounsfield units


@dataclass(frozen=True)
class PublicScan:
    """A scan that 3D Slicer publishes; the address holds its SHA-256, which Sample Data verifies.

    Attributes:
        name: of the volume in the scene, and of the entry.
        file_name: under which Slicer keeps the download.
        sha256: of the file, as Slicer's own Sample Data module states it.
        terms: under which the scan may be used.
    """

    name: str
    file_name: str
    sha256: str
    terms: str

    @property
    def address(self) -> str:
        return f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{self.sha256}"

    @property
    def checksum(self) -> str:
        return f"SHA256:{self.sha256}"


PUBLIC_SCANS = (
    PublicScan(
        "CTLiver",
        "CTLiver.nrrd",
        "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e",
        "Medical Segmentation Decathlon, Task03 Liver, liver_100; CC BY-SA 4.0",
    ),
    PublicScan(
        "MRHead",
        "MR-head.nrrd",
        "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93",
        "donated to 3D Slicer by the person in it, to be used without restrictions",
    ),
)


def register() -> None:
    """Add the entries to Sample Data. Nothing is downloaded or generated before one is clicked."""
    try:
        import SampleData
    except ModuleNotFoundError:  # an application without that module
        return
    logic = SampleData.SampleDataLogic
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=PHANTOM_NAME,
        uris=PHANTOM_ADDRESS,
        fileNames=PHANTOM_NAME + ".nrrd",
        nodeNames=PHANTOM_NAME,
        thumbnailFileName=str(PHANTOM_THUMBNAIL),
        customDownloader=load_phantom,
    )
    for scan in PUBLIC_SCANS:
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=scan.name,
            uris=scan.address,
            fileNames=scan.file_name,
            nodeNames=scan.name,
            checksums=scan.checksum,
        )


def load_phantom(source: Any = None) -> list[Any]:
    """Generate the abdomen, add it to the scene as a scalar volume and show it; return the node in a list.

    Args:
        source: Sample Data's entry; not used.
    """
    from MomentumSegLib import phantom

    generated = phantom.generate_abdomen()
    name = slicer.mrmlScene.GenerateUniqueName(_("Generated abdomen"))
    node = slicer.util.addVolumeFromArray(generated.voxels, generated.ijk_to_ras, name, "vtkMRMLScalarVolumeNode")
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*SOFT_TISSUE_WINDOW)
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]
