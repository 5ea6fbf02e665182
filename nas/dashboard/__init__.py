"""``formfinder dashboard``: the fronts of finished and running searches in a browser.

Reads run folders only, and needs neither torch nor Ray.
"""
