"""Screens of the console; each reads one frame of the fleet's store and draws it."""
