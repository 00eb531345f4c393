"""Real English prose that comes with every Python: its language reference."""

from pydoc_data.topics import topics

REFERENCE = "\n\n".join(topics[name] for name in sorted(topics))
