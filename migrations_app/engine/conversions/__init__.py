"""How each kind of value becomes a value of a PostgreSQL type, and the text that PostgreSQL prints of it."""
