"""The engine as the server sees it: names in, JSON out. Each class is one noun; the modules above do the work."""
