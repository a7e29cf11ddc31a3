"""The console: pages of HTML for people who would rather look than read; each with a JSON twin, none of them writes."""
