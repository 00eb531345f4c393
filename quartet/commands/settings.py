"""`python -m quartet settings`: print the table of every setting."""

from quartet.params.table import settings_table


def settings() -> None:
    """Print every setting: name, default, allowed values, meaning (as a Markdown table)."""
    print(settings_table(), end="")
