"""Read a user's files: texts in any encoding that can be told, tables and time series."""
