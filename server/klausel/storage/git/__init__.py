"""Git repositories, read through plumbing; nothing is ever checked out."""
