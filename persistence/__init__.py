"""What lasts: one module a table group, with its tables and all that reads or writes them."""
