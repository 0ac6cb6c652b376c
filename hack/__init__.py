"""Scripts for people who work on the project. Nothing here is installed."""
