"""The HTTP door: reads a request, asks the core, writes the answer."""
