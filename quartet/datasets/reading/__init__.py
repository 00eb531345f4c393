"""Read a user's files: texts in any encoding that can be told, tables, time series, passages and documents."""
