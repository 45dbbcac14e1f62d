"""The two report pages: templates, one style sheet, plots."""
