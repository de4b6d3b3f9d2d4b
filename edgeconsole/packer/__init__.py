"""The rooms behind `edgeconsole.packing`; those that need torch say so in their first line."""
