"""The pure middle: values in, values out; no file, clock, network or database."""
