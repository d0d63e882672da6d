"""The rows and objects on their way into the target."""
