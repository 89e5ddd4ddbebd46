"""`.search`: a query is a directory.  Grammar, result sets, and the virtual tree that shows them."""
