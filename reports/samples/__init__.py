"""The samples of a report: their selection, predictions and drawings."""
