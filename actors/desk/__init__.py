"""What people touch: commands, status, pages."""
