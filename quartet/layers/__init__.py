"""What the networks of more than one family are built from."""
