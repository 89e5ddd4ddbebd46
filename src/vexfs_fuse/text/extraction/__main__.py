"""Starts the sandboxed process: `python -m vexfs_fuse.text.extraction PARSER MEMORY_BYTES CPU_S CHARS_MAX`."""

import codecs
import gc
import importlib
import sys
from typing import Final, cast

from vexfs_fuse.text.extraction.child import Parser, serve

CODECS: Final = (
    *(
        "ascii",
        "latin_1",
        "utf_7",
        "utf_8",
        "utf_8_sig",
        "utf_16",
        "utf_16_le",
        "utf_16_be",
        "utf_32",
    ),
    *(
        "utf_32_le",
        "utf_32_be",
        "cp437",
        "cp850",
        "cp866",
        "cp874",
        "mac_roman",
        "koi8_r",
        "koi8_u",
    ),
    *(f"cp{number}" for number in (932, 936, 949, 950, *range(1250, 1259))),
    *(f"iso8859_{number}" for number in range(1, 17) if number != 12),
    *("shift_jis", "euc_jp", "iso2022_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr", "tis_620"),
    *("idna", "punycode", "raw_unicode_escape", "unicode_escape"),
)
"""What files may be encoded in: no codec can be loaded later."""


def main() -> None:
    """Load the parser and everything that it may ask for; then serve."""
    module, memory_bytes, cpu_s, chars_max = sys.argv[1:]
    parser = cast(Parser, importlib.import_module(module))
    for codec in CODECS:
        codecs.lookup(codec)
    gc.freeze()
    serve(parser, memory_bytes=int(memory_bytes), cpu_s=float(cpu_s), chars_max=int(chars_max))


main()
