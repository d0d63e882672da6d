"""The rows as JSON Lines with a manifest."""
