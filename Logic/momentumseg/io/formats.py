"""The image files this project reads and writes."""

from __future__ import annotations

from pathlib import Path

from momentumseg.io.atomic import suffix_of

NIFTI, NRRD, META, DICOM, PNG, JPEG = "NIfTI", "NRRD", "MetaImage", "DICOM", "PNG", "JPEG"

# The reader is chosen here and not by the file's content: a file must not reach a reader that nobody expects.
ITK_READERS = {
    NIFTI: "NiftiImageIO",
    NRRD: "NrrdImageIO",
    META: "MetaImageIO",
    DICOM: "GDCMImageIO",
    PNG: "PNGImageIO",
    JPEG: "JPEGImageIO",
}
FORMAT_OF_SUFFIX = {
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
    ".nrrd": NRRD,
    ".nhdr": NRRD,
    ".mha": META,
    ".mhd": META,
    ".dcm": DICOM,
    ".ima": DICOM,
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
}
READABLE = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .png, .jpg or a DICOM folder"
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")

_DICOM_PREAMBLE = 128


def format_of(path: Path) -> str | None:
    """Name of a file's format, by its suffix, and for DICOM also by its content; None when unknown."""
    known = FORMAT_OF_SUFFIX.get(suffix_of(path))
    if known is None and is_dicom(path):
        return DICOM
    return known


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM mark; scanners often write DICOM without a suffix."""
    with path.open("rb") as file:
        file.seek(_DICOM_PREAMBLE)
        return file.read(4) == b"DICM"
