"""What an editor of policies offers while somebody types: names and where they stand, completion, hover, renaming, fixes."""
