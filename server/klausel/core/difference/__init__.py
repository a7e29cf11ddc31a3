"""What differs between two policy sets: exactly, for whom, where, and through which lines."""
