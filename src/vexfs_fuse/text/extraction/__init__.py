"""What a file says: the formats, each with a module, and the process that reads them for others.

Everything here but `kinds` and `textual` runs in a sandboxed process that sees one file at a time: a module
turns bytes into a `Document`, or says with `ExtractionFailed` why it cannot.  Any other exception ends that
process, which does no harm.
"""
