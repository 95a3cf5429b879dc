"""Checks of files of unknown origin, before MXNet or a parser reads them; each raises ValueError with the reason."""
