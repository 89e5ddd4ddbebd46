"""The kernel protocol through pyfuse3: translate, one call, translate."""
