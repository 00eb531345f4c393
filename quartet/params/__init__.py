"""How settings are declared, read, checked, printed and changed; `quartet/settings.py` puts the sections together."""
