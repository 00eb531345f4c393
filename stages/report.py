"""Gather all scores and pictures: `python -m stages.report`.

Writes `reports/index.html`, one page that opens offline. About a second.
"""

import typer


def main() -> None:
    """Gather every family's scores and pictures into one offline page."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("report"):
        from quartet.artifacts.paths import REPORT_PAGE
        from quartet.families import FAMILIES
        from quartet.reporting.html_report import write_report

        write_report(REPORT_PAGE, FAMILIES.values())
        print(f"{REPORT_PAGE}: open it in a browser")


if __name__ == "__main__":
    typer.run(main)
