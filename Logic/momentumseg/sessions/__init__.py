"""Sessions: what a user's click needs; state and caches live here."""
