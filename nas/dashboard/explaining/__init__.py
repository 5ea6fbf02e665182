"""What an exported model looks at: needs torch, so it is a process of its own."""
