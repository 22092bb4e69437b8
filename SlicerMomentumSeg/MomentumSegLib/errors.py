"""What a user is told."""

from __future__ import annotations


class UserError(Exception):
    """One sentence for the user: what was wrong, with the value, and what to do. Shown without a traceback."""
