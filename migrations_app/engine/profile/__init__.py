"""What the columns really hold."""
