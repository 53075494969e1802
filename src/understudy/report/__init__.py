"""The report: what the stages of a run left, as one verdict, one page and one JSON file."""
