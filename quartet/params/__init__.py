"""Settings: declare, read, check, print and edit them; `quartet/settings.py` combines all sections."""
