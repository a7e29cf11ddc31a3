"""The one pipeline that both doors enter by: read, check, gate, take; and the questions asked of what is in force."""
