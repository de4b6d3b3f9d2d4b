"""What both programs speak. A leaf: standard library, msgspec, numpy and `edgeconsole.errors`."""
