"""The sequence family: recurrent networks that classify time series, passages of text, or images read step by step."""
