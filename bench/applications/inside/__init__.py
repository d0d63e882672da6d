"""Scripts that run under the applications' own Pythons. They import nothing of the project but one another."""
