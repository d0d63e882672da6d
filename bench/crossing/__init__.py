"""A real application that writes while it is crossed over, and what its users would have noticed."""
