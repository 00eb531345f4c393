"""The table of settings in Markdown: name, default, allowed values, meaning."""

from quartet.params.fields import every_setting


def settings_table(kind: type) -> str:
    """A table with one row per setting of section `kind`."""
    lines = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    for setting in every_setting(kind):
        shown = {"None": "null", "True": "true", "False": "false"}.get(str(setting.default), setting.default)
        lines.append(f"| `{setting.name}` | `{shown}` | {setting.allowed} | {setting.rule.meaning} |")
    return "\n".join(lines) + "\n"


def settings_page(kind: type) -> str:
    """The page `docs/settings.md`."""
    head = (
        "# Settings\n\n"
        "`params.yaml` holds every setting; `python -m quartet settings` prints this page. To change one, edit the\n"
        "file, use `python -m quartet use --with NAME=VALUE`, or `dvc exp run -S NAME=VALUE` for one experiment.\n\n"
    )
    return head + settings_table(kind)
