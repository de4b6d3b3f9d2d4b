"""Widgets of the console, one file each; what they show is computed by pure modules beside them."""
