"""The plan of a move: drafted from schema and values, or matched with a schema that is there."""
