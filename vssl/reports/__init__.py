"""Tables, figures and pages from what runs wrote. Reads files; knows nothing of how they were made."""

from vssl.reports.compare.comparison_page import write_page
from vssl.reports.compare.notes import different_keys
from vssl.reports.compare.results import collect, write_results
from vssl.reports.compare.table import format_table
from vssl.reports.runs import CALIBRATION_FILE, ORIGIN_FILE, PREDICTIONS_FILE, START, read_json, run_directory

__all__ = [
    "CALIBRATION_FILE",
    "ORIGIN_FILE",
    "PREDICTIONS_FILE",
    "START",
    "collect",
    "different_keys",
    "format_table",
    "read_json",
    "run_directory",
    "write_page",
    "write_results",
]
