"""The one kind of error that users see."""

from __future__ import annotations


class UserError(Exception):
    """One sentence for the user: what was wrong, with the value, and what to do."""
