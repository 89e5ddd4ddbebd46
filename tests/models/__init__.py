"""Reference models: what the core must do, in the simplest words."""
