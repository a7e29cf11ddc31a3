"""What is measured, one part of the report a module."""
