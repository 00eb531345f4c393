"""A user's own pictures: class folders, split folders, tables and captions."""
