"""Networks: one family a file; this room knows only torch."""
