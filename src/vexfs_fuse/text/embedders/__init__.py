"""Embedders: the model that comes with vexfs, and bridges to those that users bring."""
