"""File systems that do as little as possible: what the stack below vexfs costs by itself."""
