"""What people see: HTTP and the pages. Run by the status board; nothing in the tree waits for
it.
"""
