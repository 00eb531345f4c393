"""Every path named once; fetching; atomic writes; the model store."""
