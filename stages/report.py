"""Write the report page: `python -m stages.report`.

Writes `reports/index.html`, one page that works offline. Takes about a second.
"""

import typer


def main() -> None:
    """Write the scores and pictures of all families into one page that works offline."""
    from quartet.artifacts.errors import clear_errors

    with clear_errors("report"):
        from quartet.artifacts.paths import REPORT_PAGE
        from quartet.artifacts.stage_process import writing_stage
        from quartet.families import FAMILIES
        from quartet.reporting.page.html_report import write_report

        with writing_stage(REPORT_PAGE):
            write_report(REPORT_PAGE, FAMILIES.values())
        print(f"{REPORT_PAGE}: open it in a browser")


if __name__ == "__main__":
    typer.run(main)
