"""The demo's trained models and their held-out images, shipped with the package."""
