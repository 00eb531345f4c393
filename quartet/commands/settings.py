"""`python -m quartet settings`: print the table of every setting."""


def settings() -> None:
    """Print every setting: name, default, allowed values, meaning (as a Markdown table)."""
    from quartet.params.table import settings_table
    from quartet.settings import schema

    print(settings_table(schema()), end="")
