"""The one error hierarchy of MomentumSeg.

Every message is one sentence for a radiologist: what was wrong, with the value, and what to do.
``exit_code`` is what the command line returns for that kind of mistake.
"""


class MomentumSegError(Exception):
    """Base of every error that a user may see; its text is shown without a traceback."""

    exit_code = 1


class InputError(MomentumSegError):
    """A volume, mask, option or folder that cannot be used as it is."""

    exit_code = 3


class EmptySupportError(InputError):
    """A support without a single foreground pixel."""


class GeometryError(InputError):
    """Two images whose geometries do not belong together."""


class WeightsError(MomentumSegError):
    """Weights that are missing, damaged, unsafe or of another network."""

    exit_code = 4


class OutputError(MomentumSegError):
    """A result that cannot be written (missing or read-only folder, full disk)."""

    exit_code = 5


class DependencyError(MomentumSegError):
    """An optional package that this command needs and that is not installed."""

    exit_code = 6


class Cancelled(MomentumSegError):
    """The user cancelled; nothing was written."""

    exit_code = 130
