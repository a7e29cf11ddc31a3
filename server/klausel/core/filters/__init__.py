"""Which resources a subject may act on, as one condition over their properties."""
