"""`python -m quartet settings`: print the page of every setting."""


def settings() -> None:
    """Print every setting: name, default, allowed values, meaning (the page docs/settings.md)."""
    from quartet.params.table import settings_page
    from quartet.settings import schema

    print(settings_page(schema()), end="")
