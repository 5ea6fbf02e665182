"""The steps of a run, one file each; `nas.pipeline` calls them in order."""
