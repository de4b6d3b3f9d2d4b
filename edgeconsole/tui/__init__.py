"""The operator console: screens and widgets over `edgeconsole.fleet`. Never imports the runtime."""
