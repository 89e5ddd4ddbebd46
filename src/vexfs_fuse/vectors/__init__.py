"""Vectors: what they may be, where they lie in memory, which of them are nearest.

Pure: numpy and hnswlib, no names, no volume, no event loop.  `Space` is the door.
"""
