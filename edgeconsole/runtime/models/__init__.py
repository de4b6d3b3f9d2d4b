"""What models a device holds, and which of them answer."""
