"""What several proxies share. Apart from them, because it needs torch at once."""
