"""`python -m quartet settings`: print the page docs/settings.md."""


def settings() -> None:
    """Print a table of all settings: name, default, allowed values, meaning (the page docs/settings.md)."""
    from quartet.params.table import settings_page
    from quartet.settings import schema

    print(settings_page(schema()), end="")
