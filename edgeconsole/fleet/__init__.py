"""The operator's side without a screen: inventory, links, live store, history. Never imports tui."""
